-- All schemas of a database share the names of channels, and each may belong to another installation. The previous,
-- common channel is notified, too: processes of the previous version listen there after a new one has migrated the
-- database.
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
