-- Counts a row's changes, under its seal: an older genuine row has a smaller one.
ALTER TABLE keys ADD COLUMN revision integer NOT NULL DEFAULT 1;
ALTER TABLE keys ALTER COLUMN revision DROP DEFAULT;
ALTER TABLE key_versions ADD COLUMN revision integer NOT NULL DEFAULT 1;
ALTER TABLE key_versions ALTER COLUMN revision DROP DEFAULT;
ALTER TABLE keyring_generations ADD COLUMN revision integer NOT NULL DEFAULT 1;
ALTER TABLE keyring_generations ALTER COLUMN revision DROP DEFAULT;
GRANT UPDATE (revision) ON keyring_generations TO storage;
-- Rows that Claviger itself took away: what is gone without one was taken by somebody else.
CREATE TABLE withdrawals (
  id uuid PRIMARY KEY,
  source text NOT NULL,
  place text NOT NULL,
  withdrawn_at timestamptz NOT NULL,
  seal bytea NOT NULL
);
CREATE INDEX withdrawals_by_place ON withdrawals (source, place);
GRANT SELECT, INSERT ON withdrawals TO storage;
