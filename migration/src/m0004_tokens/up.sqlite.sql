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
