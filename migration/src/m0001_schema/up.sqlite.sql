CREATE TABLE space (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 200),
    capacity INTEGER CHECK (capacity > 0),
    time_zone TEXT NOT NULL DEFAULT 'UTC',
    negative_counts TEXT NOT NULL DEFAULT 'REPORT' CHECK (negative_counts IN ('REPORT', 'CLAMP')),
    created INTEGER NOT NULL,
    modified INTEGER NOT NULL
) STRICT;

CREATE TABLE dpu (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    serial TEXT NOT NULL UNIQUE CHECK (length(serial) BETWEEN 1 AND 200),
    name TEXT CHECK (length(name) BETWEEN 1 AND 200),
    -- For timestamps without one.
    time_zone TEXT,
    created INTEGER NOT NULL,
    modified INTEGER NOT NULL
) STRICT;

CREATE TABLE assignment (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    dpu_id INTEGER NOT NULL REFERENCES dpu (id),
    space_id INTEGER NOT NULL REFERENCES space (id),
    placement INTEGER NOT NULL CHECK (placement IN (-1, 1)),
    doorway TEXT CHECK (length(doorway) BETWEEN 1 AND 200),
    starts_at INTEGER,
    ends_at INTEGER,
    created INTEGER NOT NULL,
    modified INTEGER NOT NULL,
    CONSTRAINT assignment_ends_after_start CHECK (ends_at > starts_at)
) STRICT;
CREATE INDEX assignment_dpu_space ON assignment (dpu_id, space_id, starts_at);
CREATE INDEX assignment_space ON assignment (space_id);

-- SQLite has no exclusion constraints. It has one writer at a time, so a trigger sees every row.
CREATE TRIGGER assignment_overlap_insert BEFORE INSERT ON assignment
WHEN EXISTS (
    SELECT 1 FROM assignment AS other
    WHERE other.dpu_id = NEW.dpu_id AND other.space_id = NEW.space_id
        AND (other.ends_at IS NULL OR NEW.starts_at IS NULL OR NEW.starts_at < other.ends_at)
        AND (NEW.ends_at IS NULL OR other.starts_at IS NULL OR other.starts_at < NEW.ends_at)
)
BEGIN SELECT RAISE(ABORT, 'assignment_overlap'); END;
CREATE TRIGGER assignment_overlap_update BEFORE UPDATE ON assignment
WHEN EXISTS (
    SELECT 1 FROM assignment AS other
    WHERE other.dpu_id = NEW.dpu_id AND other.space_id = NEW.space_id AND other.id <> NEW.id
        AND (other.ends_at IS NULL OR NEW.starts_at IS NULL OR NEW.starts_at < other.ends_at)
        AND (NEW.ends_at IS NULL OR other.starts_at IS NULL OR other.starts_at < NEW.ends_at)
)
BEGIN SELECT RAISE(ABORT, 'assignment_overlap'); END;

CREATE TABLE reset (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    space_id INTEGER NOT NULL REFERENCES space (id),
    ts INTEGER NOT NULL,
    count INTEGER NOT NULL CHECK (count >= 0),
    note TEXT CHECK (length(note) BETWEEN 1 AND 2000),
    created INTEGER NOT NULL,
    modified INTEGER NOT NULL,
    CONSTRAINT reset_one_per_instant UNIQUE (space_id, ts)
) STRICT;

CREATE TABLE reset_rule (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    space_id INTEGER NOT NULL REFERENCES space (id),
    time_of_day TEXT NOT NULL,
    count INTEGER NOT NULL CHECK (count >= 0),
    first_day TEXT NOT NULL,
    last_day TEXT,
    created INTEGER NOT NULL,
    modified INTEGER NOT NULL,
    CONSTRAINT reset_rule_days_in_order CHECK (last_day >= first_day)
) STRICT;
CREATE INDEX reset_rule_space ON reset_rule (space_id);

CREATE TABLE event (
    dpu_id INTEGER NOT NULL REFERENCES dpu (id),
    ts INTEGER NOT NULL,
    direction INTEGER NOT NULL CHECK (direction IN (-1, 1)),
    seq INTEGER NOT NULL CHECK (seq >= 0),
    created INTEGER NOT NULL,
    PRIMARY KEY (dpu_id, ts, direction, seq)
) WITHOUT ROWID, STRICT;

CREATE TABLE tally (
    dpu_id INTEGER NOT NULL REFERENCES dpu (id),
    resolution INTEGER NOT NULL CHECK (resolution IN (1, 24)),
    bucket INTEGER NOT NULL CONSTRAINT tally_bucket_aligned CHECK (bucket % (resolution * 3600000) = 0),
    toward INTEGER NOT NULL CHECK (toward >= 0),
    away INTEGER NOT NULL CHECK (away >= 0),
    PRIMARY KEY (dpu_id, resolution, bucket)
) WITHOUT ROWID, STRICT;

-- Sums of pruned events: how many people crossed after the DPU's previous digest, until `ts`.
CREATE TABLE digest (
    dpu_id INTEGER NOT NULL REFERENCES dpu (id),
    ts INTEGER NOT NULL,
    toward INTEGER NOT NULL CHECK (toward >= 0),
    away INTEGER NOT NULL CHECK (away >= 0),
    PRIMARY KEY (dpu_id, ts)
) WITHOUT ROWID, STRICT;

-- The commits of the last seconds. A writer is a process, or a part of its life; its commits are numbered in the order in
-- which they are made. `dpus` is a JSON array; a row where it is null is about every DPU. `created` is in milliseconds.
CREATE TABLE change_log (
    writer INTEGER NOT NULL,
    number INTEGER NOT NULL,
    dpus TEXT,
    created INTEGER NOT NULL DEFAULT (unixepoch() * 1000),
    PRIMARY KEY (writer, number)
) WITHOUT ROWID, STRICT;

CREATE TABLE token (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    digest BLOB NOT NULL UNIQUE CHECK (length(digest) = 32),
    role TEXT NOT NULL CHECK (role IN ('READ', 'INGEST', 'ADMIN')),
    spaces TEXT,
    dpu_id INTEGER REFERENCES dpu (id),
    expires INTEGER,
    revoked INTEGER,
    last_used_day INTEGER,
    created INTEGER NOT NULL,
    modified INTEGER NOT NULL,
    CONSTRAINT token_spaces_to_read CHECK (spaces IS NULL OR role = 'READ'),
    CONSTRAINT token_dpu_to_ingest CHECK (dpu_id IS NULL OR role = 'INGEST')
) STRICT;
CREATE UNIQUE INDEX token_name ON token (name) WHERE revoked IS NULL;

-- The floor plan is cached in memory. Every change increments its revision, so that processes read it again. Events
-- before `horizon` are no longer recorded, and those before `digested` have been pruned; null: none.
CREATE TABLE floor_plan (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    revision INTEGER NOT NULL,
    horizon INTEGER CHECK (horizon % 86400000 = 0),
    digested INTEGER CHECK (digested <= horizon)
) STRICT;
INSERT INTO floor_plan (id, revision) VALUES (1, 0);

CREATE TRIGGER space_inserted AFTER INSERT ON space BEGIN UPDATE floor_plan SET revision = revision + 1; END;
CREATE TRIGGER space_updated AFTER UPDATE ON space BEGIN UPDATE floor_plan SET revision = revision + 1; END;
CREATE TRIGGER space_deleted AFTER DELETE ON space BEGIN UPDATE floor_plan SET revision = revision + 1; END;
CREATE TRIGGER dpu_inserted AFTER INSERT ON dpu BEGIN UPDATE floor_plan SET revision = revision + 1; END;
CREATE TRIGGER dpu_updated AFTER UPDATE ON dpu BEGIN UPDATE floor_plan SET revision = revision + 1; END;
CREATE TRIGGER dpu_deleted AFTER DELETE ON dpu BEGIN UPDATE floor_plan SET revision = revision + 1; END;
CREATE TRIGGER assignment_inserted AFTER INSERT ON assignment BEGIN UPDATE floor_plan SET revision = revision + 1; END;
CREATE TRIGGER assignment_updated AFTER UPDATE ON assignment BEGIN UPDATE floor_plan SET revision = revision + 1; END;
CREATE TRIGGER assignment_deleted AFTER DELETE ON assignment BEGIN UPDATE floor_plan SET revision = revision + 1; END;
CREATE TRIGGER reset_inserted AFTER INSERT ON reset BEGIN UPDATE floor_plan SET revision = revision + 1; END;
CREATE TRIGGER reset_updated AFTER UPDATE ON reset BEGIN UPDATE floor_plan SET revision = revision + 1; END;
CREATE TRIGGER reset_deleted AFTER DELETE ON reset BEGIN UPDATE floor_plan SET revision = revision + 1; END;
CREATE TRIGGER reset_rule_inserted AFTER INSERT ON reset_rule BEGIN UPDATE floor_plan SET revision = revision + 1; END;
CREATE TRIGGER reset_rule_updated AFTER UPDATE ON reset_rule BEGIN UPDATE floor_plan SET revision = revision + 1; END;
CREATE TRIGGER reset_rule_deleted AFTER DELETE ON reset_rule BEGIN UPDATE floor_plan SET revision = revision + 1; END;
