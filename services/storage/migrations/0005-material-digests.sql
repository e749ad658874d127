-- A keyed digest of each version's material, by which material that is registered already is found (the key is in
-- the HSM: nobody can try candidates here). It outlives the material, so that a destroyed key cannot come back.
CREATE TABLE material_digests (
  digest bytea PRIMARY KEY,
  key_id uuid NOT NULL,
  version integer NOT NULL,
  FOREIGN KEY (key_id, version) REFERENCES key_versions (key_id, version)
);
GRANT SELECT, INSERT ON material_digests TO storage;
