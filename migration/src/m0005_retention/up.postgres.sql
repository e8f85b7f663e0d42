-- Events before `horizon` are no longer recorded, and those before `digested` have been pruned; null: none.
ALTER TABLE floor_plan ADD COLUMN horizon BIGINT CHECK (horizon % 86400000 = 0);
ALTER TABLE floor_plan ADD COLUMN digested BIGINT CHECK (digested <= horizon);

-- Sums of pruned events: how many people crossed after the DPU's previous digest, until `ts`.
CREATE TABLE digest (
    dpu_id BIGINT NOT NULL REFERENCES dpu (id),
    ts BIGINT NOT NULL,
    toward BIGINT NOT NULL CHECK (toward >= 0),
    away BIGINT NOT NULL CHECK (away >= 0),
    PRIMARY KEY (dpu_id, ts)
);
