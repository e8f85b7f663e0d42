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

-- The floor plan is cached in memory; its revision, raised by every change, says when to read it anew.
CREATE TABLE floor_plan (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    revision INTEGER NOT NULL
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
