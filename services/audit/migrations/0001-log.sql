-- The Merkle log: records, the complete subtrees over them (RFC 6962), signed checkpoints. The service's
-- role adds; it can neither change nor delete a leaf.

CREATE TABLE records (
  sequence bigint PRIMARY KEY CHECK (sequence >= 0),
  id uuid NOT NULL UNIQUE,
  -- What is hashed into the tree.
  leaf text NOT NULL,
  -- What is held beside it, so that it can be erased.
  personal text,
  salt bytea,
  actor text,
  -- Copies out of the leaf, to search by.
  happened_at timestamptz NOT NULL,
  service text NOT NULL,
  method text NOT NULL,
  resource text NOT NULL,
  outcome text NOT NULL,
  recorded_at timestamptz NOT NULL
);
CREATE INDEX records_by_actor ON records (actor, sequence);
CREATE INDEX records_by_resource ON records (resource, sequence);
CREATE INDEX records_by_time ON records (happened_at, sequence);

CREATE TABLE nodes (
  level smallint NOT NULL,
  index bigint NOT NULL,
  hash bytea NOT NULL CHECK (length(hash) = 32),
  PRIMARY KEY (level, index)
);

-- One row: who appends holds its lock, so there is one sequencer at a time.
CREATE TABLE tree (
  id integer PRIMARY KEY CHECK (id = 1),
  size bigint NOT NULL
);
INSERT INTO tree VALUES (1, 0);

CREATE TABLE checkpoints (
  size bigint PRIMARY KEY,
  note text NOT NULL,
  verifier_key text NOT NULL,
  signed_at timestamptz NOT NULL
);

CREATE TABLE outbox (
  sequence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id uuid NOT NULL UNIQUE,
  kind text NOT NULL CHECK (kind IN ('event', 'audit')),
  subject text NOT NULL,
  payload bytea NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  published_at timestamptz
);
CREATE TABLE outbox_relay (id integer PRIMARY KEY CHECK (id = 1));
INSERT INTO outbox_relay VALUES (1);

GRANT SELECT, INSERT ON records, nodes, checkpoints TO audit;
GRANT SELECT, UPDATE ON tree, outbox_relay TO audit;
GRANT SELECT, INSERT, UPDATE, DELETE ON outbox TO audit;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA audit TO audit;
