-- What every identity's authentication must have from a day on.
CREATE TABLE authentication_floors (
  id uuid PRIMARY KEY,
  requirements text NOT NULL,
  effective_at timestamptz NOT NULL,
  created_by text NOT NULL,
  created_at timestamptz NOT NULL,
  seal bytea NOT NULL
);
-- How identities were seen to authenticate. It grants nothing and is not sealed; written at most once in an hour.
CREATE TABLE identity_strengths (
  identity text NOT NULL,
  key_type text NOT NULL,
  key_bits integer NOT NULL,
  signature_algorithm text NOT NULL,
  lifetime_hours integer NOT NULL,
  tls_version text NOT NULL,
  key_exchange text NOT NULL,
  first_seen_at timestamptz NOT NULL,
  last_seen_at timestamptz NOT NULL,
  PRIMARY KEY (identity, key_type, key_bits, signature_algorithm, lifetime_hours, tls_version, key_exchange)
);
CREATE INDEX identity_strengths_by_age ON identity_strengths (last_seen_at);
-- Who asked for what within the last month, so that a change of policy can be held against it. Likewise.
CREATE TABLE access_callers (
  identity text NOT NULL,
  permission text NOT NULL,
  resource text NOT NULL,
  first_asked_at timestamptz NOT NULL,
  last_asked_at timestamptz NOT NULL,
  PRIMARY KEY (identity, permission, resource)
);
CREATE INDEX access_callers_by_age ON access_callers (last_asked_at);
GRANT SELECT, INSERT, DELETE ON authentication_floors TO storage;
GRANT SELECT, INSERT, UPDATE, DELETE ON identity_strengths, access_callers TO storage;
