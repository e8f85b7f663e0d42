-- The extension stays: other schemas of the database may have come to use it.
DROP TABLE token;
DROP TABLE change_log;
DROP TABLE digest;
DROP TABLE tally;
DROP TABLE event;
DROP TABLE reset_rule;
DROP TABLE reset;
DROP TABLE assignment;
DROP TABLE dpu;
DROP TABLE space;
DROP TABLE floor_plan;
DROP FUNCTION bump_floor_plan;
DROP FUNCTION tell_of_floor_plan;
DROP FUNCTION tell_of_tokens;
