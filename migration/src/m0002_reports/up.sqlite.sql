-- What a DPU reports, the width of its counters in bits, the plausible number of people a minute and direction, and the
-- time between two reports in seconds.
ALTER TABLE dpu ADD COLUMN reports TEXT NOT NULL DEFAULT 'CROSSINGS'
    CHECK (reports IN ('CROSSINGS', 'INTERVALS', 'TOTALS'));
ALTER TABLE dpu ADD COLUMN counter_bits INTEGER CHECK (counter_bits IN (16, 32));
ALTER TABLE dpu ADD COLUMN max_per_minute INTEGER CHECK (max_per_minute > 0);
ALTER TABLE dpu ADD COLUMN expected_every INTEGER CHECK (expected_every > 0);

-- Who said, when and why, that something never happened. `dpu_id` and `ts` tell where it was reported.
CREATE TABLE void (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    dpu_id INTEGER NOT NULL REFERENCES dpu (id),
    ts INTEGER NOT NULL,
    reason TEXT NOT NULL CHECK (length(reason) BETWEEN 1 AND 2000),
    voided_by TEXT,
    created INTEGER NOT NULL
) STRICT;

-- A voided event does not count, but is known if it is sent again.
ALTER TABLE event ADD COLUMN void INTEGER REFERENCES void (id);

-- Incremented whenever what was counted in the bucket is replaced, instead of added to.
ALTER TABLE tally ADD COLUMN edition INTEGER NOT NULL DEFAULT 0;

-- People who crossed during [starts, ends), who count at the last millisecond. 0: the device reported it. 1: the
-- difference of two readings. 2: the sum of what was pruned.
CREATE TABLE interval (
    dpu_id INTEGER NOT NULL REFERENCES dpu (id),
    ends INTEGER NOT NULL,
    starts INTEGER NOT NULL,
    toward INTEGER NOT NULL CHECK (toward >= 0),
    away INTEGER NOT NULL CHECK (away >= 0),
    source INTEGER NOT NULL CHECK (source BETWEEN 0 AND 2),
    is_gap INTEGER NOT NULL DEFAULT 0 CHECK (is_gap IN (0, 1)),
    created INTEGER NOT NULL,
    void INTEGER REFERENCES void (id),
    PRIMARY KEY (dpu_id, ends),
    CONSTRAINT interval_ends_after_start CHECK (ends > starts)
) WITHOUT ROWID, STRICT;

-- What the counters of a device showed.
CREATE TABLE reading (
    dpu_id INTEGER NOT NULL REFERENCES dpu (id),
    ts INTEGER NOT NULL,
    toward INTEGER NOT NULL CHECK (toward >= 0),
    away INTEGER NOT NULL CHECK (away >= 0),
    is_baseline INTEGER NOT NULL DEFAULT 0 CHECK (is_baseline IN (0, 1)),
    created INTEGER NOT NULL,
    void INTEGER REFERENCES void (id),
    PRIMARY KEY (dpu_id, ts)
) WITHOUT ROWID, STRICT;

-- When a DPU was last heard of, and what it said of itself.
CREATE TABLE hearing (
    dpu_id INTEGER PRIMARY KEY REFERENCES dpu (id),
    last_heard INTEGER NOT NULL,
    known_until INTEGER,
    clock_offset_ms INTEGER,
    battery REAL,
    faults TEXT
) STRICT;

INSERT INTO interval (dpu_id, ends, starts, toward, away, source, created)
SELECT dpu_id, ts + 1, MAX(ts - (ts % 3600000 + 3600000) % 3600000, COALESCE(before, ts - 3600000) + 1),
    toward, away, 2, 0
FROM (SELECT *, LAG(ts) OVER (PARTITION BY dpu_id ORDER BY ts) AS before FROM digest);
DROP TABLE digest;
