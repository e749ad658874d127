-- Who may take which role in an emergency, named beforehand.
CREATE TABLE emergency_rules (
  identity text NOT NULL,
  role text NOT NULL,
  resource text NOT NULL,
  minutes_max integer NOT NULL CHECK (minutes_max > 0),
  created_by text NOT NULL,
  created_at timestamptz NOT NULL,
  seal bytea NOT NULL,
  PRIMARY KEY (identity, role, resource)
);
CREATE TABLE emergencies (
  id uuid PRIMARY KEY,
  identity text NOT NULL,
  role text NOT NULL,
  resource text NOT NULL,
  reason text NOT NULL,
  opened_at timestamptz NOT NULL,
  expires_at timestamptz NOT NULL,
  -- By whom; empty where its time ended it.
  ended_at timestamptz,
  ended_by text NOT NULL,
  reviewed_at timestamptz,
  reviewed_by text NOT NULL,
  justified boolean NOT NULL,
  note text NOT NULL,
  revision integer NOT NULL,
  seal bytea NOT NULL
);
CREATE INDEX emergencies_unreviewed ON emergencies (identity, opened_at) WHERE reviewed_at IS NULL;
CREATE INDEX emergencies_by_time ON emergencies (opened_at);
GRANT SELECT, INSERT, DELETE ON emergency_rules TO storage;
GRANT SELECT, INSERT ON emergencies TO storage;
GRANT UPDATE (ended_at, ended_by, reviewed_at, reviewed_by, justified, note, revision, seal) ON emergencies TO storage;
