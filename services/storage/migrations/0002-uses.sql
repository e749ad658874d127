-- How often a version has applied protection, for algorithms that bound it (SP 800-38D section 8.3). Made with
-- the version, never deleted, sealed: a count cannot be set back by editing it.
CREATE TABLE key_uses (
  key_id uuid NOT NULL,
  version integer NOT NULL,
  reserved bigint NOT NULL CHECK (reserved >= 0),
  uses_max bigint NOT NULL CHECK (uses_max > 0),
  seal bytea NOT NULL,
  PRIMARY KEY (key_id, version),
  FOREIGN KEY (key_id, version) REFERENCES key_versions (key_id, version)
);
GRANT SELECT, INSERT, UPDATE ON key_uses TO storage;
