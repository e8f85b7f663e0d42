-- A channel of notifications is all of a database's: of each schema another installation may listen. The channel that all
-- shared before is notified, too: processes of the version before listen there while a new one has migrated the database.
CREATE OR REPLACE FUNCTION tell_of_floor_plan() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    message text := json_build_object('floor_plan', NEW.revision)::text;
BEGIN
    PERFORM pg_notify('headcount_' || relnamespace, message) FROM pg_class WHERE oid = TG_RELID;
    PERFORM pg_notify('headcount', message);
    RETURN NULL;
END
$$;
CREATE OR REPLACE FUNCTION tell_of_tokens() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('headcount_' || relnamespace, '"tokens"') FROM pg_class WHERE oid = TG_RELID;
    PERFORM pg_notify('headcount', '"tokens"');
    RETURN NULL;
END
$$;
