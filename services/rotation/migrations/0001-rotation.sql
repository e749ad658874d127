-- Schedules are copies of what storage says of a key, read again before anything is done; roll-outs,
-- subscriptions and acknowledgements are this service's own. Nothing here grants power: a rotation needs
-- storage's word that it is due.

CREATE TABLE schedules (
  key_name text PRIMARY KEY,
  key_id uuid NOT NULL,
  current_version integer NOT NULL,
  rotation_period_seconds integer NOT NULL CHECK (rotation_period_seconds > 0),
  last_rotated_at timestamptz NOT NULL,
  next_rotation_at timestamptz NOT NULL,
  claimed_until timestamptz,
  last_error text NOT NULL DEFAULT ''
);
CREATE INDEX schedules_due ON schedules (next_rotation_at);

CREATE TABLE rollouts (
  key_name text NOT NULL,
  version integer NOT NULL,
  key_id uuid NOT NULL,
  event_id uuid NOT NULL,
  rotated_at timestamptz NOT NULL,
  PRIMARY KEY (key_name, version)
);

CREATE TABLE subscriptions (
  identity text NOT NULL,
  key_name text NOT NULL,
  created_at timestamptz NOT NULL,
  PRIMARY KEY (identity, key_name)
);
CREATE INDEX subscriptions_of_key ON subscriptions (key_name);

CREATE TABLE acknowledgements (
  identity text NOT NULL,
  key_name text NOT NULL,
  version integer NOT NULL,
  acknowledged_at timestamptz NOT NULL,
  PRIMARY KEY (identity, key_name, version)
);
CREATE INDEX acknowledgements_of_rollout ON acknowledgements (key_name, version);

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

GRANT SELECT, INSERT, UPDATE, DELETE ON schedules, subscriptions, outbox TO rotation;
GRANT SELECT, INSERT ON rollouts, acknowledgements TO rotation;
GRANT SELECT, UPDATE ON outbox_relay TO rotation;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA rotation TO rotation;
