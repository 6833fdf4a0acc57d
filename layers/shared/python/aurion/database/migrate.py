"""Apply the migrations: plain SQL files, forward only, each once, in order."""

import hashlib
import logging
import re
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import LiteralString, cast

import psycopg
from psycopg import sql

from aurion.errors import DatabaseAhead, MigrationChanged, MigrationGap

logger = logging.getLogger(__name__)

MIGRATIONS = Path(__file__).parent / "migrations"
ROLES = Path(__file__).parent / "roles.sql"
_LOCK = 4_720_915_338_112
_NO_TRANSACTION = "-- migrate: no-transaction"
"""First line of a file that PostgreSQL refuses to run in a transaction.

Its statements end with a semicolon at the end of a line and run one by one. A file that broke off
runs again from its start, so each must bear that (`DROP INDEX CONCURRENTLY IF EXISTS` comes before
the `CREATE`, which leaves an invalid index behind when it fails).
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """Hold one file: its name without suffix, its text and the SHA-256 of its bytes."""

    name: str
    text: str
    checksum: str


def read_migrations(directory: Path = MIGRATIONS) -> list[Migration]:
    """Read the files in order.

    Raises:
        MigrationGap: The numbers are not 0001, 0002, … without a gap.
    """
    files = sorted(directory.glob("*.sql"))
    expected = [f"{number:04d}" for number in range(1, len(files) + 1)]
    if [f.name[:4] for f in files] != expected or any(
        not re.fullmatch(r"\d{4}_[a-z0-9_]+\.sql", f.name) for f in files
    ):
        raise MigrationGap
    return [
        Migration(f.stem, f.read_text("utf-8"), hashlib.sha256(f.read_bytes()).hexdigest())
        for f in files
    ]


def migrate(admin_dsn: str, directory: Path = MIGRATIONS) -> list[str]:
    """Bring a database to the newest migration and return the names applied now.

    The login needs CREATEROLE and no more. Runners started together wait for each other.

    Raises:
        MigrationGap: The numbers have a gap.
        MigrationChanged: A file differs from what ran.
        DatabaseAhead: The database has migrations this code does not know.
    """
    migrations = read_migrations(directory)
    with psycopg.connect(admin_dsn, autocommit=True) as conn, _one_runner(conn):
        conn.execute("SET lock_timeout = '10s'")
        _make_roles(conn)
        conn.execute("SET ROLE aurion_owner")
        conn.execute("CREATE SCHEMA IF NOT EXISTS aurion_migrations")
        conn.execute(
            "CREATE TABLE IF NOT EXISTS aurion_migrations.applied ("
            " name text PRIMARY KEY, checksum text NOT NULL,"
            " applied_at timestamptz NOT NULL DEFAULT now())"
        )
        _make_schema(conn)
        rows = conn.execute("SELECT name, checksum FROM aurion_migrations.applied").fetchall()
        applied = {str(name): str(checksum) for name, checksum in rows}
        if set(applied) - {m.name for m in migrations}:
            raise DatabaseAhead
        return [m.name for m in migrations if _apply(conn, m, applied)]


def _apply(conn: psycopg.Connection, migration: Migration, applied: dict[str, str]) -> bool:
    if migration.name in applied:
        if applied[migration.name] != migration.checksum:
            raise MigrationChanged
        return False
    if migration.text.startswith(_NO_TRANSACTION):
        for statement in re.split(r";[ \t]*\n", migration.text):
            if re.sub(r"--.*", "", statement).strip():
                _run(conn, statement)
        _record(conn, migration)
    else:
        with conn.transaction():
            _run(conn, migration.text)
            _record(conn, migration)
    logger.info("migration applied", extra={"migration": migration.name})
    return True


def _run(conn: psycopg.Connection, text: str) -> None:
    # The files are ours and reviewed: the one place where SQL isn't a literal in the code.
    conn.execute(sql.SQL(cast("LiteralString", text)))


def _record(conn: psycopg.Connection, migration: Migration) -> None:
    conn.execute(
        "INSERT INTO aurion_migrations.applied (name, checksum) VALUES (%s, %s)",
        (migration.name, migration.checksum),
    )


def _make_roles(conn: psycopg.Connection) -> None:
    for attempt in range(10):
        try:
            _run(conn, ROLES.read_text("utf-8"))
            return
        except (psycopg.errors.InternalError_, psycopg.errors.UniqueViolation):
            # Another database's runner grants the same role at this moment.
            if attempt == 9:
                raise
            time.sleep(0.1)


def _make_schema(conn: psycopg.Connection) -> None:
    conn.execute("CREATE SCHEMA IF NOT EXISTS aurion")
    conn.execute(
        "GRANT USAGE ON SCHEMA aurion"
        " TO aurion_app, aurion_system, aurion_router, aurion_provisioner"
    )
    # A new function is nobody's until a migration grants it.
    conn.execute("ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC")


@contextmanager
def _one_runner(conn: psycopg.Connection) -> Generator[None]:
    # Polled, since a runner waiting inside pg_advisory_lock() holds a snapshot that another's
    # CREATE INDEX CONCURRENTLY waits for: a deadlock.
    while True:
        row = conn.execute("SELECT pg_try_advisory_lock(%s)", (_LOCK,)).fetchone()
        if row and row[0]:
            break
        time.sleep(0.1)
    try:
        yield
    finally:
        if not conn.closed:
            conn.execute("RESET ROLE")
            conn.execute("SELECT pg_advisory_unlock(%s)", (_LOCK,))
