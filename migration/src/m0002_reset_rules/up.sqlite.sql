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

CREATE TRIGGER reset_rule_inserted AFTER INSERT ON reset_rule BEGIN UPDATE floor_plan SET revision = revision + 1; END;
CREATE TRIGGER reset_rule_updated AFTER UPDATE ON reset_rule BEGIN UPDATE floor_plan SET revision = revision + 1; END;
CREATE TRIGGER reset_rule_deleted AFTER DELETE ON reset_rule BEGIN UPDATE floor_plan SET revision = revision + 1; END;
