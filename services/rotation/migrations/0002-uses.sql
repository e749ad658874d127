-- A key without a period is due, too, once its current version has been used nearly as often as it may be.
ALTER TABLE schedules DROP CONSTRAINT schedules_rotation_period_seconds_check;
ALTER TABLE schedules ADD CONSTRAINT schedules_rotation_period_seconds_check CHECK (rotation_period_seconds >= 0);
