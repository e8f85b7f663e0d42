DROP TABLE tally;
DROP TABLE event;
DROP TABLE reset;
DROP TABLE assignment;
DROP TABLE dpu;
DROP TABLE space;
DROP TABLE floor_plan;
