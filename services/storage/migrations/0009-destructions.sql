-- What is known of a destruction: under which generation of the keyring's key the material was, at most.
CREATE TABLE destructions (
  key_id uuid PRIMARY KEY REFERENCES keys (id),
  generation integer NOT NULL,
  destroyed_at timestamptz NOT NULL,
  seal bytea NOT NULL
);
-- A generator that held the key, or may have, has cleared it.
CREATE TABLE destruction_acknowledgements (
  key_id uuid NOT NULL REFERENCES destructions (key_id),
  replica text NOT NULL,
  acknowledged_at timestamptz NOT NULL,
  seal bytea NOT NULL,
  PRIMARY KEY (key_id, replica)
);
CREATE TABLE backups (
  id uuid PRIMARY KEY,
  made_by text NOT NULL,
  made_at timestamptz NOT NULL,
  expires_at timestamptz NOT NULL,
  recovery_key text NOT NULL,
  manifest bytea NOT NULL,
  seal bytea NOT NULL
);
GRANT SELECT, INSERT ON destructions, destruction_acknowledgements, backups TO storage;
