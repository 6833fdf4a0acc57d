-- The roles of the cluster, made before the numbered migrations: roles are per cluster, migrations per
-- database. Safe to run again, by several at once, and by a login that is no superuser (as on Aurora).
DO $$
DECLARE
    made text;
BEGIN
    FOREACH made IN ARRAY ARRAY[
        'aurion_owner NOLOGIN',
        'aurion_app LOGIN INHERIT',
        'aurion_system LOGIN NOINHERIT',
        'aurion_router LOGIN NOINHERIT'
    ] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = split_part(made, ' ', 1)) THEN
            BEGIN
                EXECUTE 'CREATE ROLE ' || made;
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;  -- another runner was first
            END;
        END IF;
    END LOOP;
    -- Aurora signs a role in by IAM token once it has this one, which no other server knows.
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_iam') THEN
        GRANT rds_iam TO aurion_app, aurion_system, aurion_router;
    END IF;
    IF NOT pg_has_role(current_user, 'aurion_owner', 'USAGE') THEN
        EXECUTE format('GRANT aurion_owner TO %I', current_user);
    END IF;
    IF NOT has_database_privilege('aurion_owner', current_database(), 'CREATE') THEN
        EXECUTE format('GRANT CREATE ON DATABASE %I TO aurion_owner', current_database());
    END IF;
END
$$;
