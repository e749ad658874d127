-- What became of a generation of a keyring's key: ended, once nothing is under it, and destroyed, once the
-- token has it no more. Which generation a version's material is under is in the material (docs/formats.md).
CREATE TABLE keyring_generation_ends (
  keyring text NOT NULL,
  generation integer NOT NULL,
  phase text NOT NULL CHECK (phase IN ('ended', 'destroyed')),
  reached_at timestamptz NOT NULL,
  seal bytea NOT NULL,
  PRIMARY KEY (keyring, generation, phase),
  FOREIGN KEY (keyring, generation) REFERENCES keyring_generations (keyring, generation)
);
GRANT SELECT, INSERT ON keyring_generation_ends TO storage;
-- To lock a row takes the right to update it: new material and a new generation wait for each other.
GRANT UPDATE ON keyrings TO storage;
