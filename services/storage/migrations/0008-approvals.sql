CREATE TABLE group_members (
  group_name text NOT NULL,
  identity text NOT NULL,
  added_by text NOT NULL,
  added_at timestamptz NOT NULL,
  seal bytea NOT NULL,
  PRIMARY KEY (group_name, identity)
);
CREATE INDEX group_members_by_identity ON group_members (identity);
CREATE TABLE approval_rules (
  permission text NOT NULL,
  resource text NOT NULL,
  required integer NOT NULL,
  group_name text NOT NULL,
  created_by text NOT NULL,
  created_at timestamptz NOT NULL,
  seal bytea NOT NULL,
  PRIMARY KEY (permission, resource)
);
CREATE TABLE approvals (
  id uuid PRIMARY KEY,
  requester text NOT NULL,
  method text NOT NULL,
  permission text NOT NULL,
  resource text NOT NULL,
  request_hash bytea NOT NULL,
  request text NOT NULL,
  required integer NOT NULL,
  group_name text NOT NULL,
  created_at timestamptz NOT NULL,
  expires_at timestamptz NOT NULL,
  -- Once it was used up, by which request_id of the requester's.
  executed_at timestamptz,
  executed_by text NOT NULL,
  revision integer NOT NULL,
  seal bytea NOT NULL
);
CREATE INDEX approvals_by_request ON approvals (requester, request_hash);
CREATE INDEX approvals_by_time ON approvals (created_at);
CREATE TABLE approval_votes (
  approval_id uuid NOT NULL REFERENCES approvals (id),
  identity text NOT NULL,
  approved boolean NOT NULL,
  signature bytea NOT NULL,
  certificate bytea NOT NULL,
  voted_at timestamptz NOT NULL,
  seal bytea NOT NULL,
  PRIMARY KEY (approval_id, identity)
);
GRANT SELECT, INSERT, DELETE ON group_members, approval_rules TO storage;
GRANT SELECT, INSERT ON approvals, approval_votes TO storage;
GRANT UPDATE (executed_at, executed_by, revision, seal) ON approvals TO storage;
-- To lock a row takes the right to update it: who changes a rule, and who claims by it, wait for each other.
GRANT UPDATE (required) ON approval_rules TO storage;
