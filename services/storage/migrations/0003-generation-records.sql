-- How each version came to be, signed by the generator when it was made. Nothing here is sealed: the signature
-- covers the key's name, id and version.
CREATE TABLE generation_records (
  key_id uuid NOT NULL,
  version integer NOT NULL,
  record bytea NOT NULL,
  signature bytea NOT NULL,
  signer_version integer NOT NULL CHECK (signer_version > 0),
  PRIMARY KEY (key_id, version),
  FOREIGN KEY (key_id, version) REFERENCES key_versions (key_id, version)
);
GRANT SELECT, INSERT ON generation_records TO storage;
