"""The private PostgreSQL: who runs it, who may do what in it, and what a crash leaves."""

import os
from pathlib import Path

import psutil
import psycopg
import pytest

from local.postgres import ADMIN_ROLE, Database, Postgres, end_orphan


def test_server_never_runs_as_root(postgres: Postgres) -> None:
    assert postgres.pid is not None
    owner = psutil.Process(postgres.pid).uids().real
    assert owner != 0
    if os.geteuid() != 0:
        assert owner == os.geteuid()


def test_password_is_readable_by_its_owner_only(postgres: Postgres) -> None:
    secret = postgres.data.with_suffix(".password")
    assert secret.stat().st_mode & 0o077 == 0


def test_wrong_password_is_refused(postgres: Postgres) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(postgres.dsn(password="guessed"), connect_timeout=5)


def test_migrations_ran_as_a_login_without_superuser(
    postgres: Postgres, database: Database
) -> None:
    with psycopg.connect(postgres.dsn(database.name)) as conn:
        powers = conn.execute(
            "SELECT rolsuper, rolbypassrls, rolcreaterole FROM pg_roles WHERE rolname = %s",
            (ADMIN_ROLE,),
        ).fetchone()
        assert powers == (False, False, True)
        owners = conn.execute(
            "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'aurion'"
        ).fetchall()
        assert owners == [("aurion_owner",)]


def test_product_connects_as_aurion_app_to_a_database_of_the_test(database: Database) -> None:
    from aurion.database import tenant_transaction

    from tests.factories import make_tenant

    tenant = make_tenant("Meridian Works")
    with tenant_transaction(tenant.tenant_id) as conn:
        row = conn.execute(
            "SELECT current_user::text, current_database()::text, count(*) FROM aurion.tenants"
        ).fetchone()
    assert row == ("aurion_app", database.name, 1)


def test_each_test_has_a_database_without_rows(postgres: Postgres, database: Database) -> None:
    with psycopg.connect(postgres.dsn(database.name)) as conn:
        assert conn.execute("SELECT count(*) FROM aurion.tenants").fetchone() == (0,)


def test_one_cluster_holds_several_prepared_databases(postgres: Postgres) -> None:
    try:
        for name in ("first_of_two", "second_of_two"):
            made = postgres.prepare_database(name)
            with psycopg.connect(made.dsn("aurion_system")) as conn:
                assert conn.execute("SELECT count(*) FROM aurion.tenant_ids()").fetchone() == (0,)
    finally:
        for name in ("first_of_two", "second_of_two"):
            postgres.drop_database(name)


def test_committed_rows_survive_a_crash_of_a_durable_server(run_directory: Path) -> None:
    server = Postgres(run_directory / "durable", durable=True).start()
    try:
        with psycopg.connect(server.dsn(), autocommit=True) as conn:
            modes = conn.execute(
                "SELECT current_setting('fsync'), current_setting('synchronous_commit')"
            ).fetchone()
            assert modes == ("on", "on")
            conn.execute("CREATE TABLE kept (n integer)")
            conn.execute("INSERT INTO kept VALUES (7)")
            server.crash()
            with pytest.raises(psycopg.OperationalError):
                conn.execute("SELECT 1")
        server.start()
        with psycopg.connect(server.dsn()) as conn:
            assert conn.execute("SELECT n FROM kept").fetchone() == (7,)
    finally:
        server.remove()
    assert not server.data.exists()


def test_orphan_of_a_killed_run_is_ended_and_its_data_used_again(run_directory: Path) -> None:
    orphan = Postgres(run_directory / "orphan").start()
    pid = orphan.pid
    assert pid is not None
    try:
        successor = Postgres(run_directory / "orphan").start()
        assert successor.pid not in {None, pid}
        assert orphan.pid is None
        successor.stop()
        assert not end_orphan(successor.data)
    finally:
        orphan.remove()


def test_parameters_never_reach_the_server_log(postgres: Postgres, database: Database) -> None:
    with psycopg.connect(postgres.dsn(database.name), autocommit=True) as conn:
        conn.execute("SET log_min_duration_statement = 0")
        conn.execute("SELECT %s::text AS canary_7f3a", ("471129-canary",))
    log = postgres.log.read_text()
    assert "canary_7f3a" in log
    assert "471129-canary" not in log
