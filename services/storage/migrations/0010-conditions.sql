-- A condition in CEL under which a role counts; empty: always. What is empty is not part of the seal, so that rows from
-- before stay as they are.
ALTER TABLE role_bindings ADD COLUMN condition text NOT NULL DEFAULT '';
