-- The commits of the last seconds. A writer is a process, or a part of its life; its commits are numbered in the order in
-- which they are made. A row whose `dpus` is null is about every DPU. `created` is in milliseconds of this server's clock.
CREATE TABLE change_log (
    writer BIGINT NOT NULL,
    number BIGINT NOT NULL,
    dpus BIGINT[],
    created BIGINT NOT NULL DEFAULT (extract(epoch FROM clock_timestamp()) * 1000)::bigint,
    PRIMARY KEY (writer, number)
);
