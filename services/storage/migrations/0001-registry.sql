-- The registry. Rows that grant power carry a seal made with a key outside this database; material is
-- bound besides by a key in the HSM. See docs/formats.md.

CREATE TABLE keyrings (
  name text PRIMARY KEY,
  created_at timestamptz NOT NULL,
  created_by text NOT NULL,
  seal bytea NOT NULL
);

CREATE TABLE keyring_generations (
  keyring text NOT NULL REFERENCES keyrings (name),
  generation integer NOT NULL CHECK (generation > 0),
  token_object_id text NOT NULL UNIQUE,
  recovery_wrap bytea NOT NULL,
  created_at timestamptz NOT NULL,
  seal bytea NOT NULL,
  PRIMARY KEY (keyring, generation)
);

CREATE TABLE keys (
  id uuid PRIMARY KEY,
  keyring text NOT NULL REFERENCES keyrings (name),
  name text NOT NULL,
  purpose text NOT NULL,
  algorithm text NOT NULL,
  protection text NOT NULL,
  exportable boolean NOT NULL,
  state text NOT NULL,
  current_version integer NOT NULL CHECK (current_version > 0),
  owner text NOT NULL,
  created_at timestamptz NOT NULL,
  rotated_at timestamptz NOT NULL,
  rotation_period_seconds integer NOT NULL CHECK (rotation_period_seconds >= 0),
  destroy_after_days integer NOT NULL CHECK (destroy_after_days BETWEEN 7 AND 90),
  destroy_at timestamptz,
  seal bytea NOT NULL,
  UNIQUE (keyring, name)
);
CREATE INDEX keys_to_purge ON keys (destroy_at) WHERE destroy_at IS NOT NULL AND state <> 'destroyed';
CREATE INDEX keys_that_rotate ON keys (keyring, name) WHERE rotation_period_seconds > 0;

CREATE TABLE key_versions (
  key_id uuid NOT NULL REFERENCES keys (id),
  version integer NOT NULL CHECK (version > 0),
  state text NOT NULL,
  -- Null once the key is destroyed.
  material bytea,
  created_at timestamptz NOT NULL,
  seal bytea NOT NULL,
  PRIMARY KEY (key_id, version)
);

CREATE TABLE holds (
  id uuid PRIMARY KEY,
  key_id uuid NOT NULL REFERENCES keys (id),
  holder text NOT NULL,
  reason text NOT NULL,
  placed_at timestamptz NOT NULL,
  seal bytea NOT NULL
);
CREATE INDEX holds_of_key ON holds (key_id);

CREATE TABLE role_bindings (
  id uuid PRIMARY KEY,
  role text NOT NULL,
  identity text NOT NULL,
  resource text NOT NULL,
  created_by text NOT NULL,
  created_at timestamptz NOT NULL,
  seal bytea NOT NULL,
  UNIQUE (identity, role, resource)
);

CREATE TABLE revocations (
  -- 'identity:spiffe://…' or 'serial:…'
  subject text PRIMARY KEY,
  reason text NOT NULL,
  revoked_at timestamptz NOT NULL,
  seal bytea NOT NULL
);

-- The first administrator is bound once in an installation's life, never again.
CREATE TABLE installation (
  id integer PRIMARY KEY CHECK (id = 1),
  first_administrator text NOT NULL,
  created_at timestamptz NOT NULL,
  seal bytea NOT NULL
);

CREATE TABLE requests (
  caller text NOT NULL,
  request_id uuid NOT NULL,
  request_hash bytea NOT NULL,
  response bytea,
  seal bytea,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (caller, request_id)
);
CREATE INDEX requests_by_age ON requests (created_at);

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

-- History cannot be deleted by the service's own role: only what is transient can.
GRANT SELECT, INSERT ON keyrings, keyring_generations, installation TO storage;
GRANT SELECT, INSERT, UPDATE ON keys, key_versions, requests TO storage;
GRANT SELECT, INSERT, UPDATE, DELETE ON outbox, holds, role_bindings, revocations TO storage;
GRANT DELETE ON requests TO storage;
GRANT SELECT, UPDATE ON outbox_relay TO storage;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA storage TO storage;
