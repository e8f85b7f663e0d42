DROP TABLE inbox;
DROP INDEX dpu_device;
ALTER TABLE dpu DROP COLUMN clock_within, DROP COLUMN clock;
