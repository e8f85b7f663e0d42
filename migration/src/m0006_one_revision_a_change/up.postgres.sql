-- Once per transaction: later updates would have to skip each version of the row, and a change of a hundred thousand
-- rows would take forever.
CREATE OR REPLACE FUNCTION bump_floor_plan() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('headcount.revised', true) IS DISTINCT FROM pg_current_xact_id()::text THEN
        UPDATE floor_plan SET revision = revision + 1;
        PERFORM set_config('headcount.revised', pg_current_xact_id()::text, true);
    END IF;
    RETURN NULL;
END $$;
