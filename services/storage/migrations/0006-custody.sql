-- Which recovery key wraps a generation of a keyring's key, and which one new generations must be wrapped for: the
-- newest of recovery_keys, from the moment that the ceremony which changes it has put it into the token.
ALTER TABLE keyring_generations ADD COLUMN recovery_key text NOT NULL DEFAULT '';
ALTER TABLE keyring_generations ALTER COLUMN recovery_key DROP DEFAULT;
-- The other columns of a generation stay as they are for good.
GRANT UPDATE (recovery_wrap, recovery_key, seal) ON keyring_generations TO storage;
CREATE TABLE recovery_keys (
  number integer PRIMARY KEY,
  recovery_key text NOT NULL UNIQUE,
  adopted_at timestamptz NOT NULL,
  seal bytea NOT NULL
);
-- To lock a row takes the right to update it.
GRANT SELECT, INSERT, UPDATE (number) ON recovery_keys TO storage;
-- Who said of which share that it is in their hands, and that they know what is asked of them.
CREATE TABLE custody_acknowledgements (
  recovery_key text NOT NULL,
  share integer NOT NULL,
  identity text NOT NULL,
  acknowledged_at timestamptz NOT NULL,
  seal bytea NOT NULL,
  PRIMARY KEY (recovery_key, share, identity)
);
GRANT SELECT, INSERT ON custody_acknowledgements TO storage;
