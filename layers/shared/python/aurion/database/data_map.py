"""The data map: what each column is, how long it stays, and what erasing a person does to it.

It lives in the columns' comments, as `category; retention; erasure`, so that a table, its rules and
its rows are changed by the same migration.
"""

from dataclasses import dataclass
from typing import Literal, cast, get_args

from psycopg import Connection

from aurion.errors import ColumnUnmapped

type Category = Literal[
    "account",
    "configuration",
    "operational",
    "usage",
    "security",
    "identity",
    "credential",
    "content",
    "voice",
]
type Retention = Literal["subscription+30d", "subscription+90d", "retention_days", "30d", "24h"]
type Erasure = Literal["keep", "clear", "delete row", "delete object and row"]


@dataclass(frozen=True, slots=True)
class Column:
    """One column's entry; `retention_days` is the tenant's own number of days."""

    table: str
    column: str
    category: Category
    retention: Retention
    erasure: Erasure


def columns(conn: Connection) -> list[Column]:
    """Read the map of every table of the product from the catalogue.

    Raises:
        ColumnUnmapped: A column's comment is missing or is none of the known entries.
    """
    rows = conn.execute(
        """
        SELECT c.relname, a.attname, col_description(a.attrelid, a.attnum)
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        WHERE c.relnamespace = 'aurion'::regnamespace AND c.relkind IN ('r', 'p')
            AND a.attnum > 0 AND NOT a.attisdropped
        ORDER BY c.relname, a.attnum
        """
    ).fetchall()
    return [_column(table, column, comment) for table, column, comment in rows]


def _column(table: str, column: str, comment: str | None) -> Column:
    parts = tuple((comment or "").split("; "))
    known = [get_args(kind.__value__) for kind in (Category, Retention, Erasure)]
    if len(parts) != 3 or any(part not in of for part, of in zip(parts, known, strict=True)):
        raise ColumnUnmapped(f"The column {table}.{column} is not on the data map.")
    category, retention, erasure = cast("tuple[Category, Retention, Erasure]", parts)
    return Column(table, column, category, retention, erasure)
