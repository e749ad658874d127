-- What people say of a key, and who holds it and why, encrypted under a key made of the service's seal key
-- (docs/formats.md). The columns in clear are those of rows from before, until the service has written them anew.
ALTER TABLE keys ADD COLUMN details bytea;
ALTER TABLE holds ADD COLUMN details bytea;
ALTER TABLE holds ALTER COLUMN holder DROP NOT NULL;
ALTER TABLE holds ALTER COLUMN reason DROP NOT NULL;
ALTER TABLE holds ADD COLUMN kind text NOT NULL DEFAULT '';
ALTER TABLE holds ADD COLUMN expires_at timestamptz;
CREATE INDEX keys_in_clear ON keys (id) WHERE details IS NULL;
CREATE INDEX holds_in_clear ON holds (id) WHERE details IS NULL;
CREATE INDEX holds_that_end ON holds (expires_at) WHERE expires_at IS NOT NULL;
-- By which keys are found: a keyed digest of one label, or of the owner. It grants nothing, and is looked at again in
-- the key's own details.
CREATE TABLE key_search (
  digest bytea NOT NULL,
  keyring text NOT NULL,
  name text NOT NULL,
  key_id uuid NOT NULL REFERENCES keys (id),
  PRIMARY KEY (digest, keyring, name)
);
CREATE INDEX key_search_by_key ON key_search (key_id);
GRANT SELECT, INSERT, DELETE ON key_search TO storage;
-- The shortest destruction period of a keyring's keys.
CREATE TABLE keyring_floors (
  keyring text PRIMARY KEY REFERENCES keyrings (name),
  destroy_after_days_min integer NOT NULL CHECK (destroy_after_days_min BETWEEN 0 AND 90),
  set_at timestamptz NOT NULL,
  revision integer NOT NULL,
  seal bytea NOT NULL
);
GRANT SELECT, INSERT, UPDATE ON keyring_floors TO storage;
