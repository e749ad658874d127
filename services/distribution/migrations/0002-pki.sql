-- Generations of CAs and their states, revocation by key, who follows the trust bundle.

-- Generations only go forward: coming, active, retiring, retired; distrusted from anywhere.
CREATE TABLE authority_states (
  name text NOT NULL,
  generation integer NOT NULL CHECK (generation > 0),
  state text NOT NULL CHECK (state IN ('coming', 'active', 'retiring', 'retired', 'distrusted')),
  changed_at timestamptz NOT NULL,
  seal bytea NOT NULL,
  PRIMARY KEY (name, generation)
);

-- What one root signed for another, so that who trusts only one of them can follow the other's chains.
CREATE TABLE cross_certificates (
  name text NOT NULL,
  generation integer NOT NULL,
  issuer_generation integer NOT NULL,
  certificate bytea NOT NULL,
  seal bytea NOT NULL,
  PRIMARY KEY (name, generation, issuer_generation)
);

CREATE TABLE authority_rotations (
  generation integer PRIMARY KEY,
  requested_by text NOT NULL,
  requested_at timestamptz NOT NULL,
  ended_at timestamptz,
  seal bytea NOT NULL
);

-- Grows with each revocation and each hold that ends: what tells a revocation list that it is behind.
CREATE TABLE authority_changes (
  authority text NOT NULL,
  authority_generation integer NOT NULL,
  changes bigint NOT NULL,
  PRIMARY KEY (authority, authority_generation)
);

-- Public keys that get no certificate any more.
CREATE TABLE revoked_keys (
  public_key_sha256 bytea PRIMARY KEY,
  reason text NOT NULL,
  revoked_at timestamptz NOT NULL,
  seal bytea NOT NULL
);

-- Which bundle each identity said to trust, last. Advice, not authority.
CREATE TABLE bundle_followers (
  identity text PRIMARY KEY,
  bundle_sha256 text NOT NULL,
  seen_at timestamptz NOT NULL
);

CREATE INDEX certificates_live ON certificates (authority, authority_generation, not_after) WHERE revoked_at IS NULL;

GRANT SELECT, INSERT, UPDATE ON authority_states, authority_rotations, authority_changes, revoked_keys,
  bundle_followers TO distribution;
GRANT SELECT, INSERT ON cross_certificates TO distribution;

ALTER TABLE trust_synchronization ADD COLUMN issuer_generation integer NOT NULL DEFAULT 1;
