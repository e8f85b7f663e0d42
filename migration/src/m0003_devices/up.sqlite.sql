-- Which clock tells when a report of a device happened; `clock_within` seconds are the longest that its own may be off.
ALTER TABLE dpu ADD COLUMN clock TEXT NOT NULL DEFAULT 'DEVICE' CHECK (clock IN ('DEVICE', 'ARRIVAL', 'DEVICE_WITHIN'));
ALTER TABLE dpu ADD COLUMN clock_within INTEGER
    CHECK (clock_within > 0 AND clock = 'DEVICE_WITHIN' OR clock_within IS NULL AND clock <> 'DEVICE_WITHIN');

-- Finds serials that differ in the spelling of a MAC address alone.
CREATE INDEX dpu_device ON dpu (lower(replace(replace(replace(serial, ':', ''), '-', ''), '.', '')));

-- Reports of devices that no DPU has the serial of. `device` is the serial as it is compared, `kind` 0 to 2 an interval, a
-- crossing or totals, `received` when it came first, and `heard` when it came last.
CREATE TABLE inbox (
    device TEXT NOT NULL,
    digest INTEGER NOT NULL,
    serial TEXT NOT NULL,
    format TEXT NOT NULL,
    kind INTEGER NOT NULL CHECK (kind BETWEEN 0 AND 2),
    report TEXT NOT NULL,
    received INTEGER NOT NULL,
    heard INTEGER NOT NULL,
    PRIMARY KEY (device, digest)
) WITHOUT ROWID, STRICT;

CREATE INDEX inbox_received ON inbox (received);
