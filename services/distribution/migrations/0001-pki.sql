-- Authorities, identities, enrolment tokens, certificates. Rows that grant power carry a seal made with a
-- key outside this database (docs/formats.md).

CREATE TABLE authorities (
  name text NOT NULL,
  generation integer NOT NULL CHECK (generation > 0),
  key_name text NOT NULL,
  key_version integer NOT NULL,
  certificate bytea NOT NULL,
  created_at timestamptz NOT NULL,
  seal bytea NOT NULL,
  PRIMARY KEY (name, generation)
);

CREATE TABLE identities (
  identity text PRIMARY KEY,
  state text NOT NULL CHECK (state IN ('invited', 'active', 'revoked')),
  created_at timestamptz NOT NULL,
  seal bytea NOT NULL
);

CREATE TABLE enrollment_tokens (
  -- SHA-256 of the secret: the secret itself is kept nowhere.
  secret_hash bytea PRIMARY KEY,
  identity text NOT NULL,
  created_by text NOT NULL,
  -- A repeated request gets a fresh secret in the place of the first, since no secret is kept to repeat.
  request_id text NOT NULL,
  expires_at timestamptz NOT NULL,
  used_at timestamptz,
  seal bytea NOT NULL
);
CREATE INDEX enrollment_tokens_of_identity ON enrollment_tokens (identity);
CREATE UNIQUE INDEX enrollment_tokens_by_request ON enrollment_tokens (created_by, request_id) WHERE request_id <> '';

CREATE TABLE certificates (
  serial text PRIMARY KEY,
  authority text NOT NULL,
  authority_generation integer NOT NULL,
  subject text NOT NULL,
  names jsonb NOT NULL,
  profile text NOT NULL,
  -- The SPIFFE URI, where it has one: a certificate for Claviger itself.
  identity text,
  requested_by text NOT NULL,
  public_key_sha256 bytea NOT NULL,
  certificate bytea NOT NULL,
  not_before timestamptz NOT NULL,
  not_after timestamptz NOT NULL,
  revoked_at timestamptz,
  revocation_reason text,
  seal bytea NOT NULL
);
CREATE INDEX certificates_of_identity ON certificates (identity, not_after) WHERE identity IS NOT NULL;
CREATE INDEX certificates_of_key ON certificates (public_key_sha256);
CREATE INDEX certificates_revoked ON certificates (authority, authority_generation) WHERE revoked_at IS NOT NULL;

CREATE TABLE revocation_lists (
  authority text NOT NULL,
  authority_generation integer NOT NULL,
  number bigint NOT NULL,
  revoked integer NOT NULL,
  this_update timestamptz NOT NULL,
  next_update timestamptz NOT NULL,
  list bytea NOT NULL,
  PRIMARY KEY (authority, authority_generation, number)
);

-- How far each of Claviger's own services has followed the trust bundle. Advice, not authority.
CREATE TABLE trust_synchronization (
  service text PRIMARY KEY,
  bundle_sha256 text NOT NULL,
  renewed boolean NOT NULL,
  bootstrap_dropped boolean NOT NULL,
  seen_at timestamptz NOT NULL
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

GRANT SELECT, INSERT ON authorities TO distribution;
GRANT DELETE ON enrollment_tokens TO distribution;
GRANT SELECT, INSERT, UPDATE ON identities, enrollment_tokens, certificates, trust_synchronization TO distribution;
GRANT SELECT, INSERT, DELETE ON revocation_lists TO distribution;
GRANT SELECT, INSERT, UPDATE, DELETE ON requests, outbox TO distribution;
GRANT SELECT, UPDATE ON outbox_relay TO distribution;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA distribution TO distribution;
