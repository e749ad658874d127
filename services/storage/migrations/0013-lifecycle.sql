-- Reasons and dates of keys and versions. What is null or empty is not part of a row's seal, so that rows from before
-- stay as they are.
ALTER TABLE keys ADD COLUMN activate_at timestamptz;
ALTER TABLE keys ADD COLUMN expire_at timestamptz;
ALTER TABLE keys ADD COLUMN state_reason text NOT NULL DEFAULT '';
ALTER TABLE keys ADD COLUMN state_changed_at timestamptz;
-- Greater than current_version while a version waits for its activation; null where none ever did.
ALTER TABLE keys ADD COLUMN latest_version integer;
ALTER TABLE key_versions ADD COLUMN activate_at timestamptz;
ALTER TABLE key_versions ADD COLUMN expire_at timestamptz;
ALTER TABLE key_versions ADD COLUMN state_reason text NOT NULL DEFAULT '';
ALTER TABLE key_versions ADD COLUMN state_changed_at timestamptz;

-- What is due: few rows at any time.
CREATE INDEX keys_to_activate ON keys (activate_at) WHERE state = 'pre-activation';
CREATE INDEX keys_to_expire ON keys (expire_at) WHERE expire_at IS NOT NULL AND state IN ('active', 'suspended');
CREATE INDEX versions_to_activate ON key_versions (activate_at) WHERE state = 'pre-activation';
CREATE INDEX versions_to_expire ON key_versions (expire_at)
  WHERE expire_at IS NOT NULL AND state IN ('active', 'suspended');
