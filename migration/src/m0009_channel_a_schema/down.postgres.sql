CREATE OR REPLACE FUNCTION tell_of_floor_plan() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('headcount', json_build_object('floor_plan', NEW.revision)::text);
    RETURN NULL;
END
$$;
CREATE OR REPLACE FUNCTION tell_of_tokens() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('headcount', '"tokens"');
    RETURN NULL;
END
$$;
