-- Who a session acts for, and the one way to make a tenant's table.

-- A cell's role sees its own tenant whatever the setting says. session_user, not current_user: SET ROLE
-- and definer functions change the latter. The setting reads '' after a transaction-local set_config,
-- hence nullif; no tenant means no rows. Parsed here and now, so that no search_path can redirect it.
CREATE FUNCTION aurion.tenant_id() RETURNS uuid
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN CASE
        WHEN session_user LIKE 'aurion\_cell\_%' THEN substr(session_user::text, 13)::uuid
        ELSE nullif(current_setting('app.tenant_id', true), '')::uuid
    END;
GRANT EXECUTE ON FUNCTION aurion.tenant_id() TO aurion_app, aurion_system, aurion_router;

CREATE PROCEDURE aurion.make_tenant_table(target regclass)
    LANGUAGE plpgsql
    AS $$
    BEGIN
        EXECUTE format('ALTER TABLE %s ALTER COLUMN tenant_id SET NOT NULL', target);
        EXECUTE format('ALTER TABLE %s ALTER COLUMN tenant_id SET DEFAULT aurion.tenant_id()', target);
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', target);
        EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', target);
        EXECUTE format(
            'CREATE POLICY tenant ON %s FOR ALL TO aurion_app
             USING (tenant_id = (SELECT aurion.tenant_id()))
             WITH CHECK (tenant_id = (SELECT aurion.tenant_id()))', target);
        -- The wall: a permissive policy added later can only widen within the tenant.
        EXECUTE format(
            'CREATE POLICY tenant_wall ON %s AS RESTRICTIVE FOR ALL TO PUBLIC
             USING (tenant_id = (SELECT aurion.tenant_id()))
             WITH CHECK (tenant_id = (SELECT aurion.tenant_id()))', target);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO aurion_app', target);
    END
    $$;

-- The data map lives in the column comments: `category; retention; erasure`.
CREATE PROCEDURE aurion.map_columns(target regclass, entry text, VARIADIC columns text[])
    LANGUAGE plpgsql
    AS $$
    DECLARE
        column_name text;
    BEGIN
        FOREACH column_name IN ARRAY columns LOOP
            EXECUTE format('COMMENT ON COLUMN %s.%I IS %L', target, column_name, entry);
        END LOOP;
    END
    $$;

CREATE TABLE aurion.tenants (
    tenant_id uuid PRIMARY KEY,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('trial', 'active', 'ended')),
    languages text[] NOT NULL DEFAULT '{en}'
        CHECK (cardinality(languages) >= 1 AND languages <@ '{en,fr,nl,de}'::text[]),
    timezone text NOT NULL DEFAULT 'Europe/Paris',
    -- Said after the fixed notice, per language; it adds to the notice and cannot replace it.
    greeting_addition jsonb NOT NULL DEFAULT '{}',
    recording boolean NOT NULL DEFAULT true,
    retention_days integer NOT NULL DEFAULT 90 CHECK (retention_days BETWEEN 1 AND 365),
    badge_format text NOT NULL DEFAULT '[0-9]{6}' CHECK (length(badge_format) <= 60),
    verification_policy text NOT NULL DEFAULT 'name_and_badge'
        CHECK (verification_policy IN ('name_and_badge', 'possession_required', 'off')),
    attempts_per_call integer NOT NULL DEFAULT 3 CHECK (attempts_per_call BETWEEN 1 AND 3),
    failures_per_person_day integer NOT NULL DEFAULT 5 CHECK (failures_per_person_day BETWEEN 1 AND 5),
    failures_per_person_total integer NOT NULL DEFAULT 10
        CHECK (failures_per_person_total BETWEEN 1 AND 10),
    failures_per_number_day integer NOT NULL DEFAULT 10 CHECK (failures_per_number_day BETWEEN 1 AND 10),
    names_per_number_day integer NOT NULL DEFAULT 3 CHECK (names_per_number_day BETWEEN 1 AND 10),
    failures_per_tenant_hour integer NOT NULL DEFAULT 30
        CHECK (failures_per_tenant_hour BETWEEN 1 AND 30),
    failures_per_tenant_day integer NOT NULL DEFAULT 60 CHECK (failures_per_tenant_day BETWEEN 1 AND 60),
    fallback_number text CHECK (fallback_number ~ '^\+[1-9][0-9]{6,14}$'),
    -- {"mon": ["08:00", "18:00"], ...} in the tenant's time zone; {} means always.
    hours jsonb NOT NULL DEFAULT '{}',
    calls_enabled boolean NOT NULL DEFAULT true,
    verification_enabled boolean NOT NULL DEFAULT true,
    writes_enabled boolean NOT NULL DEFAULT true,
    itsm_kind text NOT NULL DEFAULT 'demo_desk',
    itsm_url text NOT NULL DEFAULT '',
    -- The name of a secret in Secrets Manager, never the secret.
    itsm_secret text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CALL aurion.make_tenant_table('aurion.tenants');
CALL aurion.map_columns('aurion.tenants', 'account; subscription+90d; keep',
    'tenant_id', 'name', 'status', 'created_at', 'updated_at');
CALL aurion.map_columns('aurion.tenants', 'configuration; subscription+90d; keep',
    'languages', 'timezone', 'greeting_addition', 'recording', 'retention_days', 'badge_format',
    'verification_policy', 'attempts_per_call', 'failures_per_person_day',
    'failures_per_person_total', 'failures_per_number_day', 'names_per_number_day',
    'failures_per_tenant_hour', 'failures_per_tenant_day', 'fallback_number', 'hours',
    'calls_enabled', 'verification_enabled', 'writes_enabled', 'itsm_kind', 'itsm_url',
    'itsm_secret');

-- Directories: ids only, no grants, reached through the definer functions below and nothing else.
CREATE TABLE aurion.tenant_directory (
    tenant_id uuid PRIMARY KEY,
    status text NOT NULL CHECK (status IN ('trial', 'active', 'ended'))
);
COMMENT ON TABLE aurion.tenant_directory IS
    'rls-exempt: ids and status only, so that scheduled jobs can name the tenants they act for';
CALL aurion.map_columns('aurion.tenant_directory', 'account; subscription+90d; keep',
    'tenant_id', 'status');

CREATE TABLE aurion.phone_numbers (
    e164 text PRIMARY KEY CHECK (e164 ~ '^\+[1-9][0-9]{6,14}$'),
    tenant_id uuid NOT NULL REFERENCES aurion.tenant_directory (tenant_id) ON DELETE CASCADE,
    added_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX phone_numbers_tenant ON aurion.phone_numbers (tenant_id);
COMMENT ON TABLE aurion.phone_numbers IS
    'rls-exempt: a company number and whose it is, read before the tenant is known';
CALL aurion.map_columns('aurion.phone_numbers', 'configuration; subscription+90d; keep',
    'e164', 'tenant_id', 'added_at');

CREATE FUNCTION aurion.tenant_of_number(dialled text) RETURNS uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ''
    AS $$ SELECT tenant_id FROM aurion.phone_numbers WHERE e164 = dialled $$;
COMMENT ON FUNCTION aurion.tenant_of_number(text) IS
    'secdef-reviewed: equality on one public company number, returns an id and nothing else';
REVOKE ALL ON FUNCTION aurion.tenant_of_number(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION aurion.tenant_of_number(text) TO aurion_router;

CREATE FUNCTION aurion.tenant_ids() RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ''
    AS $$ SELECT tenant_id FROM aurion.tenant_directory ORDER BY tenant_id $$;
COMMENT ON FUNCTION aurion.tenant_ids() IS
    'secdef-reviewed: ids only; a job then acts for each tenant as aurion_app';
REVOKE ALL ON FUNCTION aurion.tenant_ids() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION aurion.tenant_ids() TO aurion_system;

CREATE FUNCTION aurion.assign_number(number text) RETURNS boolean
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = ''
    AS $$
        INSERT INTO aurion.phone_numbers AS n (e164, tenant_id) VALUES (number, aurion.tenant_id())
        ON CONFLICT (e164) DO UPDATE SET e164 = n.e164 WHERE n.tenant_id = aurion.tenant_id()
        RETURNING true
    $$;
COMMENT ON FUNCTION aurion.assign_number(text) IS
    'secdef-reviewed: writes the acting tenant only; a number of another tenant is left and answers null';
REVOKE ALL ON FUNCTION aurion.assign_number(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION aurion.assign_number(text) TO aurion_app;

CREATE FUNCTION aurion.release_number(number text) RETURNS boolean
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = ''
    AS $$
        DELETE FROM aurion.phone_numbers
        WHERE e164 = number AND tenant_id = aurion.tenant_id()
        RETURNING true
    $$;
COMMENT ON FUNCTION aurion.release_number(text) IS
    'secdef-reviewed: lets go of the acting tenant''s own number; any other answers null';
REVOKE ALL ON FUNCTION aurion.release_number(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION aurion.release_number(text) TO aurion_app;

CREATE FUNCTION aurion.tenant_numbers() RETURNS SETOF text
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ''
    AS $$ SELECT e164 FROM aurion.phone_numbers WHERE tenant_id = aurion.tenant_id() ORDER BY e164 $$;
COMMENT ON FUNCTION aurion.tenant_numbers() IS 'secdef-reviewed: the acting tenant''s own numbers';
REVOKE ALL ON FUNCTION aurion.tenant_numbers() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION aurion.tenant_numbers() TO aurion_app;

-- The directory follows the tenants table, so that the two cannot disagree.
CREATE FUNCTION aurion.follow_tenant() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = ''
    AS $$
    BEGIN
        IF TG_OP = 'DELETE' THEN
            DELETE FROM aurion.tenant_directory WHERE tenant_id = OLD.tenant_id;
        ELSE
            INSERT INTO aurion.tenant_directory AS d (tenant_id, status)
            VALUES (NEW.tenant_id, NEW.status)
            ON CONFLICT (tenant_id) DO UPDATE SET status = EXCLUDED.status;
        END IF;
        RETURN NULL;
    END
    $$;
COMMENT ON FUNCTION aurion.follow_tenant() IS
    'secdef-reviewed: copies id and status of a row that passed row security';
REVOKE ALL ON FUNCTION aurion.follow_tenant() FROM PUBLIC;
CREATE TRIGGER follow_tenant AFTER INSERT OR UPDATE OF status OR DELETE ON aurion.tenants
    FOR EACH ROW EXECUTE FUNCTION aurion.follow_tenant();
