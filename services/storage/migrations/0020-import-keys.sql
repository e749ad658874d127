-- Wrapping keys of imports that were begun: each for one caller, one key and one use. What is in them is wrapped by
-- the HSM and bound by it to the rest of the row, so they need no seal; after their day they are worth nothing.
CREATE TABLE import_keys (
  id uuid PRIMARY KEY,
  caller text NOT NULL,
  name text NOT NULL,
  wrapped bytea NOT NULL CHECK (length(wrapped) <= 1024),
  expires_at timestamptz NOT NULL
);
CREATE INDEX import_keys_by_caller ON import_keys (caller);
CREATE INDEX import_keys_by_end ON import_keys (expires_at);
GRANT SELECT, INSERT, DELETE ON import_keys TO storage;
