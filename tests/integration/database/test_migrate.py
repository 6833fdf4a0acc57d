"""Migrations: each once and in order, whoever runs them and whatever goes wrong."""

import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from aurion.database import lint, migrate
from aurion.errors import DatabaseAhead, MigrationChanged, MigrationGap
from psycopg import sql

from local.postgres import ADMIN_ROLE, Postgres


@pytest.fixture
def empty(postgres: Postgres) -> Iterator[str]:
    """The admin login's address of a database without anything in it."""
    name = f"migrate_{uuid.uuid4().hex}"
    make_database(postgres, name)
    yield postgres.admin_dsn(name)
    postgres.drop_database(name)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Three small migrations."""
    directory = tmp_path / "migrations"
    directory.mkdir()
    write(directory, "0001_one", "CREATE TABLE aurion.one (n integer);")
    write(directory, "0002_two", "CREATE TABLE aurion.two (n integer);")
    write(directory, "0003_three", "CREATE TABLE aurion.three (n integer);")
    return directory


def write(directory: Path, name: str, text: str) -> None:
    (directory / f"{name}.sql").write_text(text)


def make_database(postgres: Postgres, name: str) -> None:
    with psycopg.connect(postgres.admin_dsn(), autocommit=True) as conn:
        conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


def tables(dsn: str) -> set[str]:
    with psycopg.connect(dsn) as conn:
        rows = conn.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'aurion'")
        return {row[0] for row in rows.fetchall()}


def applied(dsn: str) -> list[str]:
    with psycopg.connect(dsn) as conn:
        conn.execute("SET ROLE aurion_owner")
        rows = conn.execute("SELECT name FROM aurion_migrations.applied ORDER BY applied_at, name")
        return [row[0] for row in rows.fetchall()]


def test_files_run_once_and_in_order(empty: str, files: Path) -> None:
    assert migrate.migrate(empty, files) == ["0001_one", "0002_two", "0003_three"]
    assert migrate.migrate(empty, files) == []
    write(files, "0004_four", "CREATE TABLE aurion.four (n integer);")
    assert migrate.migrate(empty, files) == ["0004_four"]
    assert applied(empty) == ["0001_one", "0002_two", "0003_three", "0004_four"]


def test_login_of_the_migrations_is_no_superuser_and_owns_nothing(
    empty: str, postgres: Postgres
) -> None:
    migrate.migrate(empty)
    with psycopg.connect(empty) as conn:
        row = conn.execute(
            "SELECT current_user::text, rolsuper, rolbypassrls, rolcreaterole FROM pg_roles"
            " WHERE rolname = current_user"
        ).fetchone()
        assert row == (ADMIN_ROLE, False, False, True)
        owners = conn.execute(
            "SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class"
            " WHERE relnamespace = 'aurion'::regnamespace"
            " UNION SELECT DISTINCT pg_get_userbyid(proowner) FROM pg_proc"
            " WHERE pronamespace = 'aurion'::regnamespace"
        ).fetchall()
        assert owners == [("aurion_owner",)]
        assert lint.faults(conn) == []


def test_three_runners_at_once_apply_each_file_once(empty: str, files: Path) -> None:
    write(files, "0001_one", "SELECT pg_sleep(0.3); CREATE TABLE aurion.one (n integer);")
    done: list[list[str]] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            done.append(migrate.migrate(empty, files))
        except BaseException as error:  # noqa: BLE001 - shown by the assertion
            failed.append(error)

    runners = [threading.Thread(target=run) for _ in range(3)]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()
    assert failed == []
    assert sorted(done) == [[], [], ["0001_one", "0002_two", "0003_three"]]


def test_runner_that_waits_does_not_block_an_index_built_concurrently(
    empty: str, files: Path
) -> None:
    write(
        files,
        "0004_index",
        "-- migrate: no-transaction\nSELECT pg_sleep(0.5);\n"
        "CREATE INDEX CONCURRENTLY one_n ON aurion.one (n);\n",
    )
    runners = [
        subprocess.Popen(
            [
                sys.executable,
                "-c",
                "import sys, pathlib; from aurion.database import migrate;"
                "migrate.migrate(sys.argv[1], pathlib.Path(sys.argv[2]))",
                empty,
                str(files),
            ]
        )
        for _ in range(2)
    ]
    assert [runner.wait(30) for runner in runners] == [0, 0]
    assert applied(empty)[-1] == "0004_index"


def test_two_databases_of_a_new_cluster_at_once(run_directory: Path) -> None:
    with Postgres(run_directory / "two-databases") as server:
        server.prepare_database("first")
        with psycopg.connect(server.dsn(), autocommit=True) as conn:
            conn.execute("DROP DATABASE first WITH (FORCE)")
            for role in ("owner", "app", "system", "router"):
                conn.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(f"aurion_{role}")))
        names = [f"company_{number}" for number in range(4)]
        for name in names:
            make_database(server, name)
        done: list[list[str]] = []

        def run(name: str) -> None:
            done.append(migrate.migrate(server.admin_dsn(name)))

        runners = [threading.Thread(target=run, args=(name,)) for name in names]
        for runner in runners:
            runner.start()
        for runner in runners:
            runner.join()
        assert done == [[m.name for m in migrate.read_migrations()]] * 4
        for name in names:
            with psycopg.connect(server.admin_dsn(name)) as conn:
                assert lint.faults(conn) == []
    server.remove()


def test_file_changed_after_it_ran_stops_everything(empty: str, files: Path) -> None:
    migrate.migrate(empty, files)
    write(files, "0002_two", "CREATE TABLE aurion.two (n bigint);")
    write(files, "0004_four", "CREATE TABLE aurion.four (n integer);")
    with pytest.raises(MigrationChanged):
        migrate.migrate(empty, files)
    assert "four" not in tables(empty)


@pytest.mark.parametrize(
    "name", ["0005_five", "0003_again", "four", "004_four", "0004-four", "0004_Four"]
)
def test_numbers_have_no_gap_and_no_double(empty: str, files: Path, name: str) -> None:
    write(files, name, "SELECT 1;")
    with pytest.raises(MigrationGap):
        migrate.migrate(empty, files)
    assert tables(empty) == set()


def test_failing_file_leaves_nothing_and_runs_again_when_mended(empty: str, files: Path) -> None:
    write(files, "0002_two", "CREATE TABLE aurion.two (n integer); SELECT 1 / 0;")
    with pytest.raises(psycopg.errors.DivisionByZero):
        migrate.migrate(empty, files)
    assert tables(empty) == {"one"}
    assert applied(empty) == ["0001_one"]
    write(files, "0002_two", "CREATE TABLE aurion.two (n integer);")
    assert migrate.migrate(empty, files) == ["0002_two", "0003_three"]


def test_database_ahead_of_the_code_is_left_alone(empty: str, files: Path) -> None:
    migrate.migrate(empty, files)
    (files / "0003_three.sql").unlink()
    with pytest.raises(DatabaseAhead):
        migrate.migrate(empty, files)
    assert applied(empty)[-1] == "0003_three"


def test_file_without_transaction_that_broke_off_runs_again(empty: str, files: Path) -> None:
    index = (
        "-- migrate: no-transaction\n"
        "-- unique, though there are doubles; the first run shows\n"
        "DROP INDEX CONCURRENTLY IF EXISTS aurion.one_n;\n"
        "CREATE UNIQUE INDEX CONCURRENTLY one_n ON aurion.one (n);\n"
    )
    migrate.migrate(empty, files)
    write(files, "0004_index", index)
    with psycopg.connect(empty) as conn:
        conn.execute("SET ROLE aurion_owner")
        conn.execute("INSERT INTO aurion.one VALUES (7), (7)")
    with pytest.raises(psycopg.errors.UniqueViolation):
        migrate.migrate(empty, files)
    with psycopg.connect(empty) as conn:
        conn.execute("SET ROLE aurion_owner")
        conn.execute("TRUNCATE aurion.one")
    assert migrate.migrate(empty, files) == ["0004_index"]
    with psycopg.connect(empty) as conn:
        valid = conn.execute(
            "SELECT indisvalid FROM pg_index WHERE indexrelid = 'aurion.one_n'::regclass"
        ).fetchone()
    assert valid == (True,)


def test_runner_that_was_killed_leaves_no_lock(empty: str, files: Path) -> None:
    write(files, "0004_long", "SELECT pg_sleep(60);")
    runner = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, pathlib; from aurion.database import migrate;"
            "migrate.migrate(sys.argv[1], pathlib.Path(sys.argv[2]))",
            empty,
            str(files),
        ]
    )
    with psycopg.connect(empty, autocommit=True) as conn:
        while not conn.execute(
            "SELECT pid FROM pg_stat_activity WHERE query LIKE '%%pg_sleep(60)%%'"
            " AND pid <> pg_backend_pid() AND datname = current_database()"
        ).fetchone():
            assert runner.poll() is None
        runner.kill()
        runner.wait()
        # The server notices a client that is gone when it next writes to it: helped along here.
        conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE query LIKE '%%pg_sleep(60)%%' AND pid <> pg_backend_pid()"
            " AND datname = current_database()"
        )
    write(files, "0004_long", "CREATE TABLE aurion.four (n integer);")
    assert migrate.migrate(empty, files) == ["0004_long"]
