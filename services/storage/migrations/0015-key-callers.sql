-- Who used which version, as the generators reported it. It grants nothing and is not sealed; the caller is encrypted.
CREATE TABLE key_callers (
  key_id uuid NOT NULL,
  version integer NOT NULL,
  caller bytea NOT NULL,
  uses bigint NOT NULL CHECK (uses > 0),
  first_used_at timestamptz NOT NULL,
  last_used_at timestamptz NOT NULL,
  PRIMARY KEY (key_id, version, caller),
  FOREIGN KEY (key_id, version) REFERENCES key_versions (key_id, version)
);
-- How far each generator's process has reported: the same report counts once.
CREATE TABLE use_reporters (
  reporter uuid PRIMARY KEY,
  sequence bigint NOT NULL,
  reported_at timestamptz NOT NULL
);
GRANT SELECT, INSERT, UPDATE ON key_callers TO storage;
GRANT SELECT, INSERT, UPDATE, DELETE ON use_reporters TO storage;
