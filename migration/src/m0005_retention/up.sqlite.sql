-- Events before `horizon` are no longer recorded, and those before `digested` have been pruned; null: none.
ALTER TABLE floor_plan ADD COLUMN horizon INTEGER CHECK (horizon % 86400000 = 0);
ALTER TABLE floor_plan ADD COLUMN digested INTEGER CHECK (digested <= horizon);

-- Sums of pruned events: how many people crossed after the DPU's previous digest, until `ts`.
CREATE TABLE digest (
    dpu_id INTEGER NOT NULL REFERENCES dpu (id),
    ts INTEGER NOT NULL,
    toward INTEGER NOT NULL CHECK (toward >= 0),
    away INTEGER NOT NULL CHECK (away >= 0),
    PRIMARY KEY (dpu_id, ts)
) WITHOUT ROWID, STRICT;
