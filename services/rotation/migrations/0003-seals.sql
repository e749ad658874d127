-- Rows are sealed with a key outside this database, and carry what grows with each change of theirs: a time in
-- milliseconds. Rows of before have no seal; the service seals them once, before it knows any row.
ALTER TABLE schedules ADD COLUMN revision bigint NOT NULL DEFAULT 0, ADD COLUMN seal bytea NOT NULL DEFAULT '';
ALTER TABLE rollouts ADD COLUMN seal bytea NOT NULL DEFAULT '';
ALTER TABLE subscriptions ADD COLUMN seal bytea NOT NULL DEFAULT '';
ALTER TABLE acknowledgements ADD COLUMN seal bytea NOT NULL DEFAULT '';
GRANT UPDATE (seal) ON rollouts, acknowledgements TO rotation;
-- Rows that Claviger itself took away: what is gone without one was taken by somebody else.
CREATE TABLE withdrawals (
  id uuid PRIMARY KEY,
  source text NOT NULL,
  place text NOT NULL,
  withdrawn_at timestamptz NOT NULL,
  seal bytea NOT NULL
);
CREATE INDEX withdrawals_by_place ON withdrawals (source, place);
GRANT SELECT, INSERT ON withdrawals TO rotation;
