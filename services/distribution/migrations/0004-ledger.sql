-- Counts an identity's changes. One that was never changed is sealed as before there was this column.
ALTER TABLE identities ADD COLUMN revision integer NOT NULL DEFAULT 1;
-- Rows that Claviger itself took away: what is gone without one was taken by somebody else.
CREATE TABLE withdrawals (
  id uuid PRIMARY KEY,
  source text NOT NULL,
  place text NOT NULL,
  withdrawn_at timestamptz NOT NULL,
  seal bytea NOT NULL
);
CREATE INDEX withdrawals_by_place ON withdrawals (source, place);
GRANT SELECT, INSERT ON withdrawals TO distribution;
