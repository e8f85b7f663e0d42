-- No event before the horizon is recorded any more, and those before `digested` are gone; null: none are.
ALTER TABLE floor_plan ADD COLUMN horizon INTEGER CHECK (horizon % 86400000 = 0);
ALTER TABLE floor_plan ADD COLUMN digested INTEGER CHECK (digested <= horizon);

-- What is left of pruned events: how many crossed after the DPU's digest before, and until `ts`.
CREATE TABLE digest (
    dpu_id INTEGER NOT NULL REFERENCES dpu (id),
    ts INTEGER NOT NULL,
    toward INTEGER NOT NULL CHECK (toward >= 0),
    away INTEGER NOT NULL CHECK (away >= 0),
    PRIMARY KEY (dpu_id, ts)
) WITHOUT ROWID, STRICT;
