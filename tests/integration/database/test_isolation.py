"""Two companies in one database: neither sees, counts or touches anything of the other."""

import contextlib
import uuid
from collections.abc import Callable, Iterator

import psycopg
import pytest
from aurion import calls, phone_numbers, tenants
from aurion.database import provisioner_transaction, tenant_transaction
from aurion.errors import (
    NumberMalformed,
    NumberNotFound,
    NumberTaken,
    SettingRejected,
    TenantExists,
    TenantNotFound,
)
from aurion.settings import settings
from psycopg import sql

from local.postgres import Database, Postgres
from tests.factories import Tenant, make_tenant

TABLES = (
    "tenants",
    "people",
    "person_name_keys",
    "calls",
    "turns",
    "recordings",
    "verification_attempts",
    "attempt_counters",
    "ticket_references",
    "drafts",
    "inbox_events",
    "outbox_messages",
    "audit_events",
    "tenant_cells",
    "phone_lines",
    "recording_deletions",
)


@pytest.fixture
def filled(tenant: Tenant) -> Tenant:
    """A company with a row in each of its tables."""
    with tenant_transaction(tenant.tenant_id) as conn:
        fill(conn)
    return tenant


def fill(conn: psycopg.Connection) -> None:
    call, person = uuid.uuid4(), uuid.uuid4()
    for statement, values in (
        (
            "INSERT INTO aurion.people (id, name, name_norm, email, email_norm)"
            " VALUES (%s, 'A', 'a', 'a@x.example', 'a@x.example')",
            (person,),
        ),
        ("INSERT INTO aurion.person_name_keys (key, person_id) VALUES ('AN', %s)", (person,)),
        (
            "INSERT INTO aurion.calls (id, channel, person_id, level, lease_until)"
            " VALUES (%s, 'text', %s, 1, now())",
            (call, person),
        ),
        (
            "INSERT INTO aurion.turns (call_id, seq, epoch, speaker, text)"
            " VALUES (%s, 1, 0, 'caller', 'hello')",
            (call,),
        ),
        ("INSERT INTO aurion.recordings (call_id) VALUES (%s)", (call,)),
        (
            "INSERT INTO aurion.verification_attempts (call_id, person_id) VALUES (%s, %s)",
            (call, person),
        ),
        ("INSERT INTO aurion.attempt_counters (scope, key) VALUES ('call', %s)", (str(call),)),
        (
            "INSERT INTO aurion.ticket_references (call_id, kind, number, idempotency_key)"
            " VALUES (%s, 'opened', 'MD-1', 'k')",
            (call,),
        ),
        (
            "INSERT INTO aurion.drafts (call_id, kind, idempotency_key, ciphertext)"
            " VALUES (%s, 'open', 'k', 'x')",
            (call,),
        ),
        ("INSERT INTO aurion.inbox_events (provider, event_id) VALUES ('twilio', 'e')", ()),
        (
            "INSERT INTO aurion.outbox_messages (kind, subject_id) VALUES ('call_closed', %s)",
            (call,),
        ),
        (
            "INSERT INTO aurion.audit_events (actor, action, decision, call_id, person_id)"
            " VALUES ('agent', 'open_ticket', 'allowed', %s, %s)",
            (call, person),
        ),
        ("INSERT INTO aurion.tenant_cells DEFAULT VALUES", ()),
        ("INSERT INTO aurion.phone_lines (line_id) VALUES ('CA1')", ()),
        (
            "INSERT INTO aurion.recording_deletions"
            " (call_id, reason, retention_days, recorded_at, had_object)"
            " VALUES (%s, 'retention', 90, now(), true)",
            (call,),
        ),
    ):
        conn.execute(statement, values)  # type: ignore[arg-type]


def count(conn: psycopg.Connection, table: str) -> int:
    row = conn.execute(
        sql.SQL("SELECT count(*) FROM aurion.{}").format(sql.Identifier(table))
    ).fetchone()
    assert row is not None
    return row[0]


def counts(conn: psycopg.Connection) -> dict[str, int]:
    return {table: count(conn, table) for table in TABLES}


@pytest.fixture
def app(database: Database) -> Iterator[psycopg.Connection]:
    """A bare connection as aurion_app that says nothing of a tenant."""
    with psycopg.connect(database.dsn("aurion_app"), autocommit=True) as conn:
        yield conn


@pytest.fixture
def cell(
    postgres: Postgres, database: Database, other_tenant: Tenant
) -> Iterator[psycopg.Connection]:
    """A connection with the other company's own login."""
    login, secret = f"aurion_cell_{other_tenant.tenant_id}", uuid.uuid4().hex
    with provisioner_transaction() as provisioner:
        provisioner.execute("SELECT aurion.make_cell_login(%s)", (other_tenant.tenant_id,))
    with psycopg.connect(postgres.dsn(database.name), autocommit=True) as superuser:
        # In the cloud a token is what it signs in with; here there is nobody who would check one.
        superuser.execute(
            sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(login), secret)
        )
    with psycopg.connect(postgres.dsn(database.name, login, secret), autocommit=True) as conn:
        yield conn
    with provisioner_transaction() as provisioner:
        provisioner.execute("SELECT aurion.drop_cell_login(%s)", (other_tenant.tenant_id,))


def test_list_of_tables_is_complete(database: Database, postgres: Postgres) -> None:
    with psycopg.connect(postgres.dsn(database.name)) as conn:
        rows = conn.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'aurion'::regnamespace"
            " AND relkind IN ('r', 'p') AND relrowsecurity"
        ).fetchall()
    assert {row[0] for row in rows} == set(TABLES)


def test_company_sees_its_rows_and_another_none(filled: Tenant, other_tenant: Tenant) -> None:
    with tenant_transaction(filled.tenant_id) as conn:
        assert set(counts(conn).values()) == {1}
    with tenant_transaction(other_tenant.tenant_id) as conn:
        assert {table: n for table, n in counts(conn).items() if n} == {"tenants": 1}


def test_without_a_tenant_there_is_nothing(filled: Tenant, app: psycopg.Connection) -> None:
    assert set(counts(app).values()) == {0}
    with app.transaction():
        app.execute("SELECT set_config('app.tenant_id', %s, true)", (str(filled.tenant_id),))
        assert count(app, "calls") == 1
    # The setting reads '' from now on, and not NULL.
    assert set(counts(app).values()) == {0}
    app.execute("SELECT set_config('app.tenant_id', %s, true)", (str(filled.tenant_id),))
    assert count(app, "calls") == 0, "a transaction's setting must not outlive it"
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
        app.execute("INSERT INTO aurion.inbox_events (provider, event_id) VALUES ('twilio', 'x')")


def test_rows_of_another_company_cannot_be_written(filled: Tenant, other_tenant: Tenant) -> None:
    for statement in (
        "INSERT INTO aurion.inbox_events (tenant_id, provider, event_id)"
        " VALUES (%(other)s, 'twilio', 'planted')",
        "INSERT INTO aurion.tenants (tenant_id, name) VALUES (gen_random_uuid(), 'planted')",
        "UPDATE aurion.calls SET tenant_id = %(other)s",
        "UPDATE aurion.tenants SET tenant_id = %(other)s",
    ):
        with (
            pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"),
            tenant_transaction(filled.tenant_id) as conn,
        ):
            conn.execute(statement, {"other": other_tenant.tenant_id})  # type: ignore[arg-type]
    with tenant_transaction(other_tenant.tenant_id) as conn:
        for table in TABLES:
            if table not in ("tenants", "audit_events", "recording_deletions"):
                statement = sql.SQL("DELETE FROM aurion.{}").format(sql.Identifier(table))
                assert conn.execute(statement).rowcount == 0
    with tenant_transaction(filled.tenant_id) as conn:
        assert set(counts(conn).values()) == {1}


def test_keys_do_not_tell_what_another_company_has(filled: Tenant, other_tenant: Tenant) -> None:
    with tenant_transaction(filled.tenant_id) as conn:
        call = calls.list_recent(conn)[0]
    with tenant_transaction(other_tenant.tenant_id) as conn:
        # The same ids are free here: no unique key, no foreign key reaches across.
        conn.execute(
            "INSERT INTO aurion.calls (id, channel, lease_until) VALUES (%s, 'text', now())",
            (call.id,),
        )
    foreign = uuid.uuid4()
    with tenant_transaction(filled.tenant_id) as conn:
        conn.execute(
            "INSERT INTO aurion.calls (id, channel, lease_until) VALUES (%s, 'text', now())",
            (foreign,),
        )
    for call_id in (foreign, uuid.uuid4()):
        with (
            pytest.raises(psycopg.errors.ForeignKeyViolation),
            tenant_transaction(other_tenant.tenant_id) as conn,
        ):
            conn.execute(
                "INSERT INTO aurion.turns (call_id, seq, epoch, speaker, text)"
                " VALUES (%s, 1, 0, 'caller', 'x')",
                (call_id,),
            )


def as_autocommit(conn: psycopg.Connection, tenant_id: uuid.UUID) -> None:
    conn.execute("SELECT set_config('app.tenant_id', %s, false)", (str(tenant_id),))


def as_role(conn: psycopg.Connection, tenant_id: uuid.UUID) -> None:
    as_autocommit(conn, tenant_id)
    conn.execute("SET ROLE aurion_app")


def as_prepared(conn: psycopg.Connection, tenant_id: uuid.UUID) -> None:
    conn.execute("SELECT set_config('app.tenant_id', '', false)")
    for _ in range(8):
        conn.execute("SELECT count(*) FROM aurion.calls", prepare=True)
    as_autocommit(conn, tenant_id)


@pytest.mark.parametrize("pretend", [as_autocommit, as_role, as_prepared])
def test_cell_sees_its_own_company_whatever_it_says(
    filled: Tenant,
    other_tenant: Tenant,
    cell: psycopg.Connection,
    pretend: Callable[[psycopg.Connection, uuid.UUID], None],
) -> None:
    pretend(cell, filled.tenant_id)
    row = cell.execute("SELECT aurion.tenant_id(), current_setting('app.tenant_id')").fetchone()
    assert row == (other_tenant.tenant_id, str(filled.tenant_id))
    assert {table: n for table, n in counts(cell).items() if n} == {"tenants": 1}
    assert cell.execute("SELECT count(*) FROM aurion.calls", prepare=True).fetchone() == (0,)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        cell.execute(
            "INSERT INTO aurion.inbox_events (tenant_id, provider, event_id)"
            " VALUES (%s, 'twilio', 'planted')",
            (filled.tenant_id,),
        )


def test_cell_cannot_put_its_own_functions_before_ours(
    filled: Tenant, other_tenant: Tenant, cell: psycopg.Connection, postgres: Postgres
) -> None:
    with psycopg.connect(postgres.dsn(cell.info.dbname), autocommit=True) as superuser:
        superuser.execute(
            "CREATE SCHEMA planted; GRANT USAGE ON SCHEMA planted TO PUBLIC;"
            " CREATE FUNCTION planted.substr(text, integer) RETURNS text LANGUAGE sql STABLE"
            " AS $$ SELECT pg_catalog.current_setting('app.tenant_id') $$"
        )
    cell.execute("SET search_path = planted, pg_catalog")
    as_autocommit(cell, filled.tenant_id)
    assert cell.execute("SELECT substr('x', 1)").fetchone() == (str(filled.tenant_id),)
    assert cell.execute("SELECT aurion.tenant_id()").fetchone() == (other_tenant.tenant_id,)
    assert count(cell, "calls") == 0


def test_cell_stays_in_its_company_through_savepoints_and_rollbacks(
    filled: Tenant, other_tenant: Tenant, cell: psycopg.Connection
) -> None:
    with cell.transaction():
        as_autocommit(cell, filled.tenant_id)
        with cell.transaction():
            as_autocommit(cell, filled.tenant_id)
            cell.execute(
                "INSERT INTO aurion.inbox_events (provider, event_id) VALUES ('twilio', 'mine')"
            )
            assert count(cell, "calls") == 0
        with pytest.raises(psycopg.errors.DivisionByZero), cell.transaction():
            cell.execute("SELECT 1 / 0")
        assert (count(cell, "calls"), count(cell, "inbox_events")) == (0, 1)
    with tenant_transaction(other_tenant.tenant_id) as conn:
        assert count(conn, "inbox_events") == 1


def test_cell_stays_in_its_company_after_a_rollback_and_with_a_prepared_plan(
    filled: Tenant, other_tenant: Tenant, cell: psycopg.Connection
) -> None:
    with contextlib.suppress(psycopg.errors.DivisionByZero), cell.transaction():
        as_prepared(cell, filled.tenant_id)
        cell.execute("SELECT 1 / 0")
    # The rollback has taken the setting back; a plan made under another one is still there.
    assert cell.execute("SELECT count(*) FROM aurion.calls", prepare=True).fetchone() == (0,)
    cell.execute("SET SESSION AUTHORIZATION DEFAULT")
    cell.execute("RESET ALL")
    as_autocommit(cell, filled.tenant_id)
    assert cell.execute("SELECT aurion.tenant_id()").fetchone() == (other_tenant.tenant_id,)
    assert {table: n for table, n in counts(cell).items() if n} == {"tenants": 1}


def test_cell_cannot_become_anybody_else(
    other_tenant: Tenant, filled: Tenant, cell: psycopg.Connection
) -> None:
    for statement in (
        "SET SESSION AUTHORIZATION aurion_app",
        "SET ROLE aurion_owner",
        "SET ROLE aurion_system",
        "SET ROLE aurion_provisioner",
        "SELECT aurion.make_cell_login(aurion.tenant_id())",
        "SELECT aurion.drop_cell_login(aurion.tenant_id())",
        "SELECT aurion.cell_logins()",
        "SELECT aurion.tenant_ids()",
        "SELECT aurion.take_silent_calls(0)",
        "CREATE ROLE another",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            cell.execute(statement)  # type: ignore[arg-type]


def test_login_of_a_cell_goes_with_what_it_owns(
    postgres: Postgres, database: Database, other_tenant: Tenant, cell: psycopg.Connection
) -> None:
    cell.execute("SELECT lo_from_bytea(0, 'x')")
    for expected in (True, False):
        with provisioner_transaction() as conn:
            dropped = conn.execute("SELECT aurion.drop_cell_login(%s)", (other_tenant.tenant_id,))
            assert dropped.fetchone() == (expected,)
    with provisioner_transaction() as conn:
        unknown = conn.execute("SELECT aurion.make_cell_login(%s)", (uuid.uuid4(),))
        assert unknown.fetchone() == (False,), "no login for a company that there isn't"


def test_cell_works_as_the_product_does(
    monkeypatch: pytest.MonkeyPatch,
    postgres: Postgres,
    other_tenant: Tenant,
    filled: Tenant,
    cell: psycopg.Connection,
) -> None:
    login = f"aurion_cell_{other_tenant.tenant_id}"
    with psycopg.connect(postgres.dsn(cell.info.dbname), autocommit=True) as superuser:
        superuser.execute(
            sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(login), postgres.password)
        )
    monkeypatch.setenv("DATABASE_ROLE", login)
    settings.cache_clear()
    with tenant_transaction(other_tenant.tenant_id) as conn:
        assert tenants.get(conn).name == other_tenant.name
        calls.start(conn, channel="text")
    with tenant_transaction(filled.tenant_id) as conn:
        assert tenants.get(conn).name == other_tenant.name, "its own, whoever is asked for"


@pytest.mark.parametrize("table", ["tenant_directory", "phone_numbers", "live_calls"])
@pytest.mark.parametrize("role", ["aurion_app", "aurion_system", "aurion_router"])
def test_directories_are_reached_through_their_functions_only(
    database: Database, role: str, table: str
) -> None:
    with psycopg.connect(database.dsn(role), autocommit=True) as conn:
        for statement in ("SELECT * FROM aurion.{}", "DELETE FROM aurion.{}"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                conn.execute(sql.SQL(statement).format(sql.Identifier(table)))  # pyright: ignore[reportArgumentType]


def test_narrow_logins_do_one_thing_each(database: Database, filled: Tenant) -> None:
    for role, own in (
        ("aurion_system", "SELECT aurion.tenant_ids()"),
        ("aurion_router", "SELECT aurion.tenant_of_number('+33199000001')"),
    ):
        with psycopg.connect(database.dsn(role), autocommit=True) as conn:
            conn.execute(own)  # type: ignore[arg-type]
            for table in TABLES:
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    count(conn, table)
            for other in (
                "SELECT aurion.assign_number('+33199000009')",
                "SELECT aurion.tenant_numbers()",
                "SET ROLE aurion_app",
                "SET ROLE aurion_owner",
                "CREATE TABLE aurion.mine (n integer)",
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    conn.execute(other)  # type: ignore[arg-type]
    with (
        psycopg.connect(database.dsn("aurion_router"), autocommit=True) as conn,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        conn.execute("SELECT aurion.tenant_ids()")


def test_application_cannot_step_past_the_rules(filled: Tenant, app: psycopg.Connection) -> None:
    for statement in (
        "TRUNCATE aurion.calls CASCADE",
        "ALTER TABLE aurion.calls DISABLE ROW LEVEL SECURITY",
        "DROP POLICY tenant_wall ON aurion.calls",
        "CREATE POLICY mine ON aurion.calls USING (true)",
        "SET ROLE aurion_owner",
        "SET SESSION AUTHORIZATION postgres",
        "CREATE FUNCTION aurion.f() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
        "SELECT aurion.tenant_ids()",
        "SELECT aurion.tenant_of_number('+33199000001')",
        "SELECT * FROM aurion_migrations.applied",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute(statement)  # type: ignore[arg-type]
    app.execute("SET row_security = off")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        count(app, "calls")


def test_audit_is_appended_and_never_changed(filled: Tenant) -> None:
    for statement in (
        "UPDATE aurion.audit_events SET decision = 'refused'",
        "DELETE FROM aurion.audit_events",
    ):
        with (
            pytest.raises(psycopg.errors.InsufficientPrivilege, match="audit_events"),
            tenant_transaction(filled.tenant_id) as conn,
        ):
            conn.execute(statement)  # type: ignore[arg-type]


def test_person_who_is_deleted_leaves_the_audit_nameless(filled: Tenant) -> None:
    with tenant_transaction(filled.tenant_id) as conn:
        assert conn.execute("DELETE FROM aurion.people").rowcount == 1
        left = conn.execute("SELECT action, person_id FROM aurion.audit_events").fetchall()
        assert left == [("open_ticket", None)]
        assert count(conn, "person_name_keys") == 0
        assert calls.list_recent(conn)[0].person_id is None


def test_company_that_is_deleted_leaves_nothing(
    filled: Tenant, other_tenant: Tenant, postgres: Postgres, database: Database
) -> None:
    with tenant_transaction(filled.tenant_id) as conn:
        phone_numbers.add(conn, "+33199000001")
        conn.execute("DELETE FROM aurion.tenants")
    with psycopg.connect(postgres.dsn(database.name)) as conn:
        for table in (*TABLES, "tenant_directory", "phone_numbers", "live_calls"):
            left = conn.execute(
                sql.SQL("SELECT count(*) FROM aurion.{} WHERE tenant_id = %s").format(
                    sql.Identifier(table)
                ),
                (filled.tenant_id,),
            ).fetchone()
            assert left == (0,), table
    assert tenants.ids() == [other_tenant.tenant_id]


def test_number_belongs_to_one_company(tenant: Tenant, other_tenant: Tenant) -> None:
    with tenant_transaction(tenant.tenant_id) as conn:
        phone_numbers.add(conn, "+33199000001")
        phone_numbers.add(conn, "+33199000001")
        assert phone_numbers.list_all(conn) == ["+33199000001"]
        for malformed in ("33199000001", "+0199000001", "+33 1 99", "+33199000001x", ""):
            with pytest.raises(NumberMalformed):
                phone_numbers.add(conn, malformed)
    with tenant_transaction(other_tenant.tenant_id) as conn:
        with pytest.raises(NumberTaken):
            phone_numbers.add(conn, "+33199000001")
        with pytest.raises(NumberNotFound):
            phone_numbers.remove(conn, "+33199000001")
        assert phone_numbers.list_all(conn) == []
    assert phone_numbers.tenant_of("+33199000001") == tenant.tenant_id
    with pytest.raises(NumberNotFound):
        phone_numbers.tenant_of("+33199000002")
    with tenant_transaction(tenant.tenant_id) as conn:
        phone_numbers.remove(conn, "+33199000001")
    with pytest.raises(NumberNotFound):
        phone_numbers.tenant_of("+33199000001")


def test_tenant_is_made_read_and_changed(database: Database) -> None:
    tenant_id = uuid.uuid4()
    with tenant_transaction(tenant_id) as conn:
        with pytest.raises(TenantNotFound):
            tenants.get(conn)
        with pytest.raises(TenantNotFound):
            tenants.update(conn, recording=False)
        made = tenants.add(
            conn, name="Meridian Works", languages=["en", "fr"], hours={"mon": ["08:00", "18:00"]}
        )
        assert (made.tenant_id, made.main_language, made.status) == (tenant_id, "en", "active")
        assert tenants.get(conn) == made
        changed = tenants.update(conn, recording=False, fallback_number="+33199000002")
        assert (changed.recording, changed.fallback_number) == (False, "+33199000002")
        assert changed.hours == {"mon": ["08:00", "18:00"]}
    with pytest.raises(TenantExists), tenant_transaction(tenant_id) as conn:
        tenants.add(conn, name="Again")
    make_tenant("Aardvark")
    assert [tenant.name for tenant in tenants.list_all()] == ["Aardvark", "Meridian Works"]


@pytest.mark.parametrize(
    "settings_",
    [
        {"name": ""},
        {"languages": []},
        {"languages": ["en", "xx"]},
        {"languages": ["en", "en"]},
        {"timezone": "Mars/Olympus"},
        {"timezone": "../../etc/passwd"},
        {"badge_format": "(a+)+"},
        {"badge_format": "[0-9]{2}"},
        {"retention_days": 366},
        {"failures_per_tenant_hour": 31},
        {"fallback_number": "112"},
        {"tenant_id": "0b9f5f3e-6f0e-4b53-8a2e-0d5f3f7a9c11"},
        {"name = 'x'; --": "x"},
    ],
)
def test_setting_out_of_bounds_is_refused(tenant: Tenant, settings_: dict[str, object]) -> None:
    with (
        pytest.raises(SettingRejected) as caught,
        tenant_transaction(tenant.tenant_id) as conn,
    ):
        tenants.update(conn, **settings_)  # type: ignore[arg-type]
    assert caught.value.__cause__ is None
