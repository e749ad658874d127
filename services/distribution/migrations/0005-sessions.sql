-- Recipients' public keys, and who may open sessions with whom.

CREATE TABLE recipients (
  identity text PRIMARY KEY,
  -- X25519, 32 bytes.
  public_key bytea NOT NULL,
  -- What the generator bound to the identity, and its MAC: brought back to it each time.
  record text NOT NULL,
  mac bytea NOT NULL,
  registered_at timestamptz NOT NULL,
  not_after timestamptz NOT NULL,
  revision integer NOT NULL,
  seal bytea NOT NULL
);

CREATE TABLE session_rules (
  -- SPIFFE IDs, or all below one: spiffe://domain/workload/*.
  initiator text NOT NULL,
  peer text NOT NULL,
  created_by text NOT NULL,
  created_at timestamptz NOT NULL,
  seal bytea NOT NULL,
  PRIMARY KEY (initiator, peer)
);

GRANT SELECT, INSERT, UPDATE ON recipients TO distribution;
GRANT SELECT, INSERT, DELETE ON session_rules TO distribution;
