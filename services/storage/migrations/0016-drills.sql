-- Backups that somebody tried, beside the running installation: a row is there before a share is used, and says later
-- what came of it. What was signed of it is kept with it.
CREATE TABLE drills (
  id uuid PRIMARY KEY,
  begun_by text NOT NULL,
  -- As the backup's header says.
  backup_id text NOT NULL,
  backup_made_at timestamptz NOT NULL,
  begun_at timestamptz NOT NULL,
  ended_at timestamptz,
  outcome text NOT NULL CHECK (outcome IN ('begun', 'proved', 'failed')),
  reason text NOT NULL,
  record bytea NOT NULL,
  signature bytea NOT NULL,
  signer_version integer NOT NULL,
  revision integer NOT NULL,
  seal bytea NOT NULL
);
CREATE INDEX drills_by_begin ON drills (begun_at);
GRANT SELECT, INSERT ON drills TO storage;
GRANT UPDATE (ended_at, outcome, reason, record, signature, signer_version, revision, seal) ON drills TO storage;
