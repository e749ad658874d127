-- Profiles and rules that administrators add, and CAs that an outside root signs.

CREATE TABLE profiles (
  name text PRIMARY KEY,
  authority text NOT NULL,
  -- Comma-separated.
  key_types text NOT NULL,
  extended_key_usage text NOT NULL,
  name_kinds text NOT NULL,
  lifetime_seconds_default integer NOT NULL,
  lifetime_seconds_max integer NOT NULL,
  created_by text NOT NULL,
  created_at timestamptz NOT NULL,
  seal bytea NOT NULL
);

-- Which names an identity may ask for itself.
CREATE TABLE name_rules (
  id uuid PRIMARY KEY,
  profile text NOT NULL,
  -- A SPIFFE URI, or its beginning and a star.
  identity text NOT NULL,
  kind text NOT NULL CHECK (kind IN ('dns', 'ip', 'uri', 'email')),
  pattern text NOT NULL,
  created_by text NOT NULL,
  created_at timestamptz NOT NULL,
  seal bytea NOT NULL,
  UNIQUE (profile, identity, kind, pattern)
);

-- What leads from a CA that an outside root signed to that root.
CREATE TABLE authority_chains (
  name text NOT NULL,
  generation integer NOT NULL,
  -- PEM, without the root.
  chain text NOT NULL,
  seal bytea NOT NULL,
  PRIMARY KEY (name, generation)
);

GRANT SELECT, INSERT, DELETE ON profiles, name_rules TO distribution;
GRANT SELECT, INSERT ON authority_chains TO distribution;

-- Whose OpenID Connect tokens enrol whom.
CREATE TABLE token_issuers (
  name text PRIMARY KEY,
  issuer text NOT NULL UNIQUE,
  audience text NOT NULL,
  jwks text NOT NULL,
  created_by text NOT NULL,
  created_at timestamptz NOT NULL,
  seal bytea NOT NULL
);

CREATE TABLE token_rules (
  id uuid PRIMARY KEY,
  issuer_name text NOT NULL REFERENCES token_issuers (name) ON DELETE CASCADE,
  -- JSON, its names in order.
  claims text NOT NULL,
  identity text NOT NULL,
  created_by text NOT NULL,
  created_at timestamptz NOT NULL,
  seal bytea NOT NULL,
  UNIQUE (issuer_name, claims)
);

GRANT SELECT, INSERT, DELETE ON token_issuers, token_rules TO distribution;
