-- No event before the horizon is recorded any more, and those before `digested` are gone; null: none are.
ALTER TABLE floor_plan ADD COLUMN horizon BIGINT CHECK (horizon % 86400000 = 0);
ALTER TABLE floor_plan ADD COLUMN digested BIGINT CHECK (digested <= horizon);

-- What is left of pruned events: how many crossed after the DPU's digest before, and until `ts`.
CREATE TABLE digest (
    dpu_id BIGINT NOT NULL REFERENCES dpu (id),
    ts BIGINT NOT NULL,
    toward BIGINT NOT NULL CHECK (toward >= 0),
    away BIGINT NOT NULL CHECK (away >= 0),
    PRIMARY KEY (dpu_id, ts)
);
