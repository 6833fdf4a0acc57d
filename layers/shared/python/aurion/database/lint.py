"""Faults in the catalogue: what row security, the data map and the roles must be like."""

from dataclasses import dataclass
from pathlib import Path
from typing import LiteralString, cast

from psycopg import Connection, sql

from aurion.database.rows import rows_of

_LINT = Path(__file__).with_name("lint.sql")


@dataclass(frozen=True, slots=True)
class Fault:
    """A broken rule, by its number and name, and what breaks it."""

    fault: str
    object: str


def faults(conn: Connection) -> list[Fault]:
    """Hold a database's catalogue against the rules; an empty list is a pass."""
    statement = sql.SQL(cast("LiteralString", _LINT.read_text("utf-8")))
    return conn.cursor(row_factory=rows_of(Fault)).execute(statement).fetchall()
