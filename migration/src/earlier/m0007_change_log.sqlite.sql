-- The commits of the last seconds. A writer is a process, or a part of its life; its commits are numbered in the order in
-- which they are made. `dpus` is a JSON array; a row where it is null is about every DPU. `created` is in milliseconds.
CREATE TABLE change_log (
    writer INTEGER NOT NULL,
    number INTEGER NOT NULL,
    dpus TEXT,
    created INTEGER NOT NULL DEFAULT (unixepoch() * 1000),
    PRIMARY KEY (writer, number)
) WITHOUT ROWID, STRICT;
