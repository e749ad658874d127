-- Keys on their way to those whom they are for: each is sealed to its recipient, and goes once that has it.

CREATE TABLE pre_shared_keys (
  name text PRIMARY KEY,
  -- In alphabetical order.
  party_a text NOT NULL,
  party_b text NOT NULL,
  overlap_seconds integer NOT NULL CHECK (overlap_seconds >= 0),
  created_by text NOT NULL,
  created_at timestamptz NOT NULL,
  seal bytea NOT NULL
);
CREATE INDEX pre_shared_keys_of_a ON pre_shared_keys (party_a);
CREATE INDEX pre_shared_keys_of_b ON pre_shared_keys (party_b);

CREATE TABLE pre_shared_key_generations (
  name text NOT NULL REFERENCES pre_shared_keys (name),
  generation integer NOT NULL CHECK (generation > 0),
  created_at timestamptz NOT NULL,
  signer_version integer NOT NULL,
  -- Absent once it was acknowledged.
  ticket_a text,
  ticket_b text,
  acknowledged_a_at timestamptz,
  acknowledged_b_at timestamptz,
  revision integer NOT NULL,
  seal bytea NOT NULL,
  PRIMARY KEY (name, generation)
);

CREATE TABLE deliveries (
  id uuid PRIMARY KEY,
  recipient text NOT NULL,
  key_name text NOT NULL,
  key_version integer NOT NULL,
  algorithm text NOT NULL,
  sender text NOT NULL,
  format text NOT NULL CHECK (format IN ('jwe', 'hpke')),
  signer_version integer NOT NULL,
  -- Absent once the receipt is here.
  sealed bytea,
  created_at timestamptz NOT NULL,
  receipt bytea,
  received_at timestamptz,
  revision integer NOT NULL,
  seal bytea NOT NULL
);
CREATE INDEX deliveries_waiting ON deliveries (recipient, id) WHERE received_at IS NULL;
CREATE INDEX deliveries_of_key ON deliveries (key_name, id);

GRANT SELECT, INSERT ON pre_shared_keys TO distribution;
GRANT SELECT, INSERT, UPDATE, DELETE ON pre_shared_key_generations TO distribution;
GRANT SELECT, INSERT, UPDATE ON deliveries TO distribution;
