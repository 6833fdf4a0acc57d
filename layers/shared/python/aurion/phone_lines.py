"""What the telephone company says of its lines, and what a caller was offered when nobody came."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

from psycopg import Connection

from aurion.database.rows import rows_of
from aurion.errors import RequestMalformed

type LineStatus = Literal[
    "queued",
    "initiated",
    "ringing",
    "in-progress",
    "completed",
    "busy",
    "failed",
    "no-answer",
    "canceled",
]
type Offer = Literal["nothing", "regret", "fallback", "callback"]
type Choice = Literal["nothing", "callback"]

_VERSIONS: dict[LineStatus, int] = {"queued": 0, "initiated": 1, "ringing": 2, "in-progress": 3}
_OVER = 4


@dataclass(frozen=True, slots=True)
class PhoneLine:
    """One line of the telephone company: a caller's, or the one it dialled for them.

    `version` says how far the line has come; `offered` and `chosen` are decided once.
    """

    line_id: str
    status: LineStatus
    version: int
    offered: Offer | None
    chosen: Choice | None
    updated_at: datetime


def read_status(text: str) -> LineStatus:
    """Read what the telephone company calls a line's status.

    Raises:
        RequestMalformed: It has no such status.
    """
    for known in get_args(LineStatus.__value__):
        if text == known:
            return known
    raise RequestMalformed


def version_of(status: LineStatus) -> int:
    """Say how far along a line of this status is; whatever ends it is the furthest."""
    return _VERSIONS.get(status, _OVER)


def note(conn: Connection, *, line_id: str, status: LineStatus) -> bool:
    """Note a line's status, unless a later one is known; says whether it was news."""
    row = conn.execute(
        """
        INSERT INTO aurion.phone_lines AS l (line_id, status, version)
        VALUES (%(id)s, %(status)s, %(version)s)
        ON CONFLICT (tenant_id, line_id) DO UPDATE
        SET status = EXCLUDED.status, version = EXCLUDED.version, updated_at = clock_timestamp()
        WHERE l.version < EXCLUDED.version
        RETURNING true
        """,
        {"id": line_id, "status": status, "version": version_of(status)},
    ).fetchone()
    return row is not None


def offer(conn: Connection, *, line_id: str, offered: Offer) -> Offer:
    """Note what a caller is offered, once; returns what they were offered first."""
    row = conn.execute(
        """
        INSERT INTO aurion.phone_lines AS l (line_id, offered) VALUES (%s, %s)
        ON CONFLICT (tenant_id, line_id) DO UPDATE
        SET offered = coalesce(l.offered, EXCLUDED.offered), updated_at = clock_timestamp()
        RETURNING offered
        """,
        (line_id, offered),
    ).fetchone()
    assert row is not None
    return row[0]


def choose(conn: Connection, *, line_id: str, chosen: Choice) -> Choice:
    """Note what a caller chose, once; returns what they chose first."""
    row = conn.execute(
        """
        INSERT INTO aurion.phone_lines AS l (line_id, chosen) VALUES (%s, %s)
        ON CONFLICT (tenant_id, line_id) DO UPDATE
        SET chosen = coalesce(l.chosen, EXCLUDED.chosen), updated_at = clock_timestamp()
        RETURNING chosen
        """,
        (line_id, chosen),
    ).fetchone()
    assert row is not None
    return row[0]


def find(conn: Connection, line_id: str) -> PhoneLine | None:
    """Find a line by the telephone company's id."""
    return (
        conn.cursor(row_factory=rows_of(PhoneLine))
        .execute("SELECT * FROM aurion.phone_lines WHERE line_id = %s", (line_id,))
        .fetchone()
    )
