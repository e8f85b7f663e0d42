-- Once a transaction: each further version of the row would be passed over by all later ones, and a change of a hundred
-- thousand rows would take for ever.
CREATE OR REPLACE FUNCTION bump_floor_plan() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('headcount.revised', true) IS DISTINCT FROM pg_current_xact_id()::text THEN
        UPDATE floor_plan SET revision = revision + 1;
        PERFORM set_config('headcount.revised', pg_current_xact_id()::text, true);
    END IF;
    RETURN NULL;
END $$;
