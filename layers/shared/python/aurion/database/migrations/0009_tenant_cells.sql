-- Companies that have agents of their own: which want some, and how far each is.
CREATE TABLE aurion.tenant_cells (
    tenant_id uuid PRIMARY KEY REFERENCES aurion.tenants (tenant_id) ON DELETE CASCADE,
    wanted boolean NOT NULL DEFAULT true,
    min_tasks smallint NOT NULL DEFAULT 1 CHECK (min_tasks BETWEEN 1 AND 50),
    max_tasks smallint NOT NULL DEFAULT 4 CHECK (max_tasks BETWEEN min_tasks AND 50),
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN (
        'waiting', 'creating', 'running', 'updating', 'draining', 'deleting', 'failed', 'gone')),
    -- Whether calls are sent to the cell's agents, and since when that is so.
    taking_calls boolean NOT NULL DEFAULT false,
    taking_since timestamptz NOT NULL DEFAULT now(),
    -- CloudFormation's word for the stack, and the release it was last to be brought to.
    stack_status text,
    tried_release text,
    attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CALL aurion.make_tenant_table('aurion.tenant_cells');
CALL aurion.map_columns('aurion.tenant_cells', 'configuration; subscription+90d; keep',
    'tenant_id', 'wanted', 'min_tasks', 'max_tasks');
CALL aurion.map_columns('aurion.tenant_cells', 'operational; subscription+90d; keep',
    'state', 'taking_calls', 'taking_since', 'stack_status', 'tried_release', 'attempts',
    'next_attempt_at', 'created_at', 'updated_at');

CREATE FUNCTION aurion.calls_of_agents(named text) RETURNS bigint
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ''
    AS $$
        SELECT count(*) FROM aurion.live_calls
        WHERE tenant_id = aurion.tenant_id() AND agent_name = named
    $$;
COMMENT ON FUNCTION aurion.calls_of_agents(text) IS
    'secdef-reviewed: counts the acting tenant''s own calls and returns a number';
REVOKE ALL ON FUNCTION aurion.calls_of_agents(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION aurion.calls_of_agents(text) TO aurion_app;

-- The login of a cell: a member of aurion_app, whose name decides its tenant (aurion.tenant_id()).
CREATE FUNCTION aurion.make_cell_login(cell uuid) RETURNS boolean
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
    AS $$
    DECLARE
        login text := 'aurion_cell_' || cell;
    BEGIN
        IF NOT EXISTS (SELECT FROM aurion.tenant_directory WHERE tenant_id = cell) THEN
            RETURN false;
        END IF;
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = login) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I LOGIN INHERIT', login);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;  -- somebody else was first
            END;
        END IF;
        EXECUTE format('GRANT aurion_app TO %I', login);
        IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'rds_iam') THEN
            EXECUTE format('GRANT rds_iam TO %I', login);
        END IF;
        RETURN true;
    END
    $$;
COMMENT ON FUNCTION aurion.make_cell_login(uuid) IS
    'secdef-reviewed: makes one login whose name is fixed by the id of a tenant that exists';
REVOKE ALL ON FUNCTION aurion.make_cell_login(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION aurion.make_cell_login(uuid) TO aurion_provisioner;

CREATE FUNCTION aurion.drop_cell_login(cell uuid) RETURNS boolean
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = ''
    AS $$
    DECLARE
        login text := 'aurion_cell_' || cell;
    BEGIN
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = login) THEN
            RETURN false;
        END IF;
        -- It can own a large object, and a role that owns something can't be dropped.
        EXECUTE format('GRANT %I TO aurion_owner', login);
        EXECUTE format('DROP OWNED BY %I', login);
        EXECUTE format('DROP ROLE %I', login);
        RETURN true;
    END
    $$;
COMMENT ON FUNCTION aurion.drop_cell_login(uuid) IS
    'secdef-reviewed: drops a login whose name is fixed by the id, and what it owns';
REVOKE ALL ON FUNCTION aurion.drop_cell_login(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION aurion.drop_cell_login(uuid) TO aurion_provisioner;

CREATE FUNCTION aurion.cell_logins() RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = ''
    AS $$
        SELECT substr(rolname::text, 13)::uuid FROM pg_catalog.pg_roles
        WHERE rolname LIKE 'aurion\_cell\_%' ORDER BY rolname
    $$;
COMMENT ON FUNCTION aurion.cell_logins() IS
    'secdef-reviewed: ids only, of the tenants that have a login of their own';
REVOKE ALL ON FUNCTION aurion.cell_logins() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION aurion.cell_logins() TO aurion_provisioner;
