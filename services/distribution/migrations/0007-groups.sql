-- Groups that share a key. The records are the generator's, with its MAC; the tree of members is verified against
-- the root in the record at each use.

CREATE TABLE key_groups (
  name text PRIMARY KEY,
  generation integer NOT NULL CHECK (generation > 0),
  members integer NOT NULL CHECK (members >= 0),
  created_at timestamptz NOT NULL,
  renewed_at timestamptz NOT NULL,
  seal bytea NOT NULL
);

CREATE TABLE key_group_generations (
  name text NOT NULL REFERENCES key_groups (name),
  generation integer NOT NULL CHECK (generation > 0),
  record text NOT NULL,
  mac bytea NOT NULL,
  PRIMARY KEY (name, generation)
);

CREATE TABLE key_group_members (
  name text NOT NULL REFERENCES key_groups (name),
  identity text NOT NULL,
  slot integer NOT NULL CHECK (slot >= 0),
  joined integer NOT NULL CHECK (joined > 0),
  seal bytea NOT NULL,
  PRIMARY KEY (name, identity)
);
CREATE INDEX key_group_members_of_slot ON key_group_members (name, slot);

-- Nodes of the members' tree under which there is somebody, or was: level 0 are the places.
CREATE TABLE key_group_nodes (
  name text NOT NULL REFERENCES key_groups (name),
  level integer NOT NULL,
  place integer NOT NULL,
  hash bytea NOT NULL,
  PRIMARY KEY (name, level, place)
);

GRANT SELECT, INSERT, UPDATE ON key_groups, key_group_nodes TO distribution;
GRANT SELECT, INSERT, DELETE ON key_group_generations, key_group_members TO distribution;
