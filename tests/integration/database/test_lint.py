"""The rules of the catalogue: the migrated database keeps them, and a breach is noticed."""

import uuid
from collections.abc import Iterator

import psycopg
import pytest
from aurion.database import data_map, lint
from aurion.errors import ColumnUnmapped

from local.postgres import Postgres

MUTATIONS = [
    ("L01", "ALTER TABLE aurion.calls DISABLE ROW LEVEL SECURITY"),
    ("L02", "ALTER TABLE aurion.calls NO FORCE ROW LEVEL SECURITY"),
    ("L03", "DROP POLICY tenant_wall ON aurion.calls"),
    ("L03", "ALTER POLICY tenant_wall ON aurion.calls USING (true)"),
    ("L03", "ALTER POLICY tenant_wall ON aurion.calls WITH CHECK (true)"),
    ("L03", "ALTER POLICY tenant_wall ON aurion.calls TO aurion_app"),
    (
        "L03",
        "DROP POLICY tenant_wall ON aurion.calls;"
        " CREATE POLICY tenant_wall ON aurion.calls AS RESTRICTIVE FOR SELECT"
        " USING (tenant_id = (SELECT aurion.tenant_id()))",
    ),
    (
        "L04",
        "ALTER TABLE aurion.turns DROP CONSTRAINT turns_pkey;"
        " ALTER TABLE aurion.turns ALTER tenant_id DROP NOT NULL",
    ),
    ("L05", "CREATE UNIQUE INDEX ON aurion.people (email_norm)"),
    ("L05", "CREATE INDEX ON aurion.calls (started_at)"),
    ("L05", "ALTER TABLE aurion.calls ADD UNIQUE (provider_call_id)"),
    (
        "L06",
        "ALTER TABLE aurion.calls ADD CONSTRAINT u UNIQUE (id);"
        " ALTER TABLE aurion.turns ADD FOREIGN KEY (call_id) REFERENCES aurion.calls (id)",
    ),
    ("L07", "CREATE VIEW aurion.recent AS SELECT * FROM aurion.calls"),
    (
        "L07",
        "CREATE VIEW aurion.recent WITH (security_invoker = false) AS SELECT * FROM aurion.calls",
    ),
    ("L08", "CREATE MATERIALIZED VIEW aurion.totals AS SELECT count(*) FROM aurion.calls"),
    ("L09", "ALTER ROLE aurion_app BYPASSRLS"),
    ("L09", "ALTER ROLE aurion_system SUPERUSER"),
    ("L09", "ALTER ROLE aurion_router CREATEROLE"),
    ("L09", "ALTER ROLE aurion_provisioner CREATEROLE"),
    ("L10", "ALTER TABLE aurion.calls OWNER TO aurion_app"),
    ("L10", "ALTER FUNCTION aurion.tenant_ids() OWNER TO aurion_system"),
    ("L11", "GRANT aurion_owner TO aurion_router"),
    ("L11", "GRANT pg_read_all_data TO aurion_system"),
    ("L11", "GRANT aurion_app TO aurion_router"),
    (
        "L11",
        'CREATE ROLE "aurion_cell_0b9f5f3e-6f0e-4b53-8a2e-0d5f3f7a9c11" LOGIN IN ROLE aurion_owner',
    ),
    ("L12", "CREATE FUNCTION aurion.f() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'"),
    ("L12", "COMMENT ON FUNCTION aurion.tenant_of_number(text) IS NULL"),
    ("L12", "ALTER FUNCTION aurion.tenant_of_number(text) SET search_path = public"),
    ("L13", "GRANT EXECUTE ON FUNCTION aurion.tenant_of_number(text) TO PUBLIC"),
    ("L13", "CREATE FUNCTION aurion.f() RETURNS int LANGUAGE sql AS 'SELECT 1'"),
    ("L14", "GRANT TRUNCATE ON aurion.calls TO aurion_app"),
    ("L14", "GRANT REFERENCES (id) ON aurion.calls TO aurion_app"),
    ("L15", "CREATE POLICY z ON aurion.calls USING (tenant_id = aurion.tenant_id())"),
    (
        "L15",
        "CREATE POLICY z ON aurion.calls"
        " USING (tenant_id::text = (SELECT current_setting('app.tenant_id')))",
    ),
    (
        "L15",
        "CREATE POLICY z ON aurion.calls"
        " USING (tenant_id = nullif(current_setting('app.tenant_id', true), '')::uuid)",
    ),
    (
        "L16",
        "CREATE TABLE aurion.p (tenant_id uuid NOT NULL, d date) PARTITION BY RANGE (d);"
        " CREATE TABLE aurion.p1 PARTITION OF aurion.p DEFAULT;"
        " CALL aurion.make_tenant_table('aurion.p')",
    ),
    ("L17", "CREATE SEQUENCE aurion.s; GRANT USAGE ON SEQUENCE aurion.s TO aurion_app"),
    ("L18", "CREATE TABLE aurion.n (tenant_id uuid); CALL aurion.make_tenant_table('aurion.n')"),
    (
        "L18",
        "CREATE TABLE aurion.n (tenant_id uuid, x int); CALL aurion.make_tenant_table('aurion.n');"
        " CREATE INDEX ON aurion.n (tenant_id) WHERE x > 0",
    ),
    ("L19", "CREATE TABLE aurion.q (x int)"),
    (
        "L20",
        "CREATE TABLE aurion.e (tenant_id uuid, r int4range, EXCLUDE USING gist (r WITH &&));"
        " CALL aurion.make_tenant_table('aurion.e')",
    ),
    ("L21", "GRANT SELECT ON aurion.phone_numbers TO aurion_app"),
    ("L21", "GRANT SELECT (e164) ON aurion.phone_numbers TO aurion_router"),
    ("L21", "COMMENT ON TABLE aurion.calls IS 'rls-exempt: it was slow'"),
    ("L22", "ALTER TABLE aurion.calls ADD COLUMN mood text"),
    ("L22", "COMMENT ON COLUMN aurion.calls.language IS 'usage; for ever; keep'"),
    ("L22", "COMMENT ON COLUMN aurion.phone_numbers.e164 IS NULL"),
    ("L23", "ALTER TABLE aurion.calls ALTER calling_number SET NOT NULL"),
    ("L24", "CREATE POLICY all_tenants ON aurion.calls FOR SELECT TO aurion_app USING (true)"),
    ("L24", "ALTER POLICY tenant ON aurion.calls TO PUBLIC"),
    ("L25", "GRANT SELECT ON aurion.calls TO aurion_system"),
    ("L25", "GRANT SELECT ON aurion.calls TO PUBLIC"),
    ("L26", "GRANT EXECUTE ON FUNCTION aurion.tenant_ids() TO aurion_router"),
    ("L26", "GRANT EXECUTE ON FUNCTION aurion.assign_number(text) TO aurion_system"),
    ("L26", "GRANT EXECUTE ON FUNCTION aurion.tenant_ids() TO aurion_provisioner"),
    ("L27", "GRANT UPDATE (decision) ON aurion.audit_events TO aurion_app"),
    ("L27", "GRANT DELETE ON aurion.audit_events TO aurion_app"),
    (
        "L28",
        "CREATE OR REPLACE FUNCTION aurion.tenant_id() RETURNS uuid LANGUAGE sql STABLE"
        " RETURN nullif(current_setting('app.tenant_id', true), '')::uuid",
    ),
    (
        "L28",
        "CREATE OR REPLACE FUNCTION aurion.tenant_id() RETURNS uuid LANGUAGE sql STABLE"
        " RETURN CASE WHEN current_user LIKE 'aurion\\_cell\\_%'"
        " THEN substr(current_user::text, 13)::uuid"
        " ELSE nullif(current_setting('app.tenant_id', true), '')::uuid END",
    ),
    ("L28", "ALTER FUNCTION aurion.tenant_id() VOLATILE"),
    ("L29", "GRANT CREATE ON SCHEMA aurion TO aurion_app"),
    (
        "L30",
        "CREATE TYPE aurion.mood AS ENUM ('good');"
        " ALTER TABLE aurion.calls ADD COLUMN mood aurion.mood",
    ),
    ("L31", "CREATE ROLE aurion_cell_meridian LOGIN"),
]


@pytest.fixture(scope="module")
def migrated(postgres: Postgres) -> Iterator[psycopg.Connection]:
    """A superuser's connection to a freshly migrated database."""
    name = f"lint_{uuid.uuid4().hex}"
    postgres.prepare_database(name)
    with psycopg.connect(postgres.dsn(name)) as conn:
        yield conn
    postgres.drop_database(name)


def test_migrated_database_has_no_fault(migrated: psycopg.Connection) -> None:
    assert lint.faults(migrated) == []


@pytest.mark.parametrize(("rule", "mutation"), MUTATIONS)
def test_every_way_to_break_a_rule_is_noticed(
    migrated: psycopg.Connection, rule: str, mutation: str
) -> None:
    with migrated.transaction(force_rollback=True):
        migrated.execute(mutation)  # type: ignore[arg-type]
        assert rule in {fault.fault[:3] for fault in lint.faults(migrated)}
    migrated.rollback()


def test_every_rule_has_a_mutation() -> None:
    assert {rule for rule, _ in MUTATIONS} == {f"L{number:02d}" for number in range(1, 32)}


def test_table_made_by_the_procedure_passes(migrated: psycopg.Connection) -> None:
    with migrated.transaction(force_rollback=True):
        migrated.execute(
            "CREATE TABLE aurion.notes (tenant_id uuid, id uuid, PRIMARY KEY (tenant_id, id));"
            " CALL aurion.make_tenant_table('aurion.notes');"
            " CALL aurion.map_columns('aurion.notes', 'usage; subscription+30d; keep',"
            " 'tenant_id', 'id')"
        )
        assert lint.faults(migrated) == []


def test_cell_of_a_tenant_passes(migrated: psycopg.Connection) -> None:
    with migrated.transaction(force_rollback=True):
        migrated.execute(
            'CREATE ROLE "aurion_cell_0b9f5f3e-6f0e-4b53-8a2e-0d5f3f7a9c11"'
            " LOGIN IN ROLE aurion_app"
        )
        assert lint.faults(migrated) == []


def test_data_map_names_every_column_once(migrated: psycopg.Connection) -> None:
    entries = data_map.columns(migrated)
    row = migrated.execute(
        "SELECT count(*) FROM information_schema.columns WHERE table_schema = 'aurion'"
    ).fetchone()
    assert row == (len({(entry.table, entry.column) for entry in entries}),)
    by_name = {(entry.table, entry.column): entry for entry in entries}
    text = by_name["turns", "text"]
    assert (text.category, text.retention, text.erasure) == (
        "content",
        "subscription+30d",
        "delete row",
    )
    assert by_name["people", "badge_hash"].category == "credential"


def test_column_that_is_not_on_the_map_stops_whoever_reads_it(migrated: psycopg.Connection) -> None:
    with migrated.transaction(force_rollback=True):
        migrated.execute("ALTER TABLE aurion.calls ADD COLUMN mood text")
        with pytest.raises(ColumnUnmapped, match=r"calls\.mood"):
            data_map.columns(migrated)


def test_lint_needs_no_rights(migrated: psycopg.Connection, postgres: Postgres) -> None:
    name = migrated.info.dbname
    with psycopg.connect(postgres.dsn(name, "aurion_system", postgres.password)) as conn:
        assert lint.faults(conn) == []
        assert data_map.columns(conn) == data_map.columns(migrated)
    migrated.rollback()
