CREATE FUNCTION tell_of_floor_plan() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('headcount', json_build_object('floor_plan', NEW.revision)::text);
    RETURN NULL;
END
$$;
CREATE TRIGGER floor_plan_changed AFTER UPDATE ON floor_plan
FOR EACH ROW EXECUTE FUNCTION tell_of_floor_plan();
