-- The roles of the cluster, made before the numbered migrations: roles are per cluster, migrations per
-- database. Safe to run again, by several at once, and by a login that is no superuser (as on Aurora).
DO $$
DECLARE
    made text;
    membership text := CASE
        WHEN current_setting('server_version_num')::integer < 160000 THEN 'WITH ADMIN OPTION'
        ELSE 'WITH ADMIN TRUE, INHERIT FALSE, SET FALSE'
    END;
BEGIN
    FOREACH made IN ARRAY ARRAY[
        'aurion_owner NOLOGIN',
        'aurion_app LOGIN INHERIT',
        'aurion_system LOGIN NOINHERIT',
        'aurion_router LOGIN NOINHERIT',
        'aurion_provisioner LOGIN NOINHERIT'
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
        GRANT rds_iam TO aurion_app, aurion_system, aurion_router, aurion_provisioner;
    END IF;
    IF NOT pg_has_role(current_user, 'aurion_owner', 'USAGE') THEN
        EXECUTE format('GRANT aurion_owner TO %I', current_user);
    END IF;
    IF NOT has_database_privilege('aurion_owner', current_database(), 'CREATE') THEN
        EXECUTE format('GRANT CREATE ON DATABASE %I TO aurion_owner', current_database());
    END IF;
    -- A function of the owner makes the logins of companies' own agents: it hands these roles out, and
    -- gains nothing of them by that.
    IF NOT (SELECT rolcreaterole FROM pg_roles WHERE rolname = 'aurion_owner') THEN
        ALTER ROLE aurion_owner CREATEROLE;
    END IF;
    FOR made IN
        SELECT rolname FROM pg_roles WHERE rolname IN ('aurion_app', 'rds_iam') AND NOT EXISTS (
            SELECT FROM pg_auth_members
            WHERE roleid = pg_roles.oid AND member = 'aurion_owner'::regrole AND admin_option)
    LOOP
        EXECUTE format('GRANT %I TO aurion_owner %s', made, membership);
    END LOOP;
END
$$;
