"""What was said in a call, in order and without gaps."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from psycopg import Connection

from aurion import calls
from aurion.database.rows import rows_of
from aurion.errors import CallNotFound, TurnTaken
from aurion.tenants import Language
from aurion.texts import storable

type Speaker = Literal["caller", "agent", "tool"]

REDACTED = "[redacted: badge]"


@dataclass(frozen=True, slots=True)
class Turn:
    """One utterance; `reply_ms` runs from the end of the caller's speech to our first sound."""

    call_id: UUID
    seq: int
    epoch: int
    speaker: Speaker
    text: str
    language: Language | None
    reply_ms: int | None
    said_at: datetime


def append(
    conn: Connection,
    *,
    call_id: UUID,
    epoch: int,
    speaker: Speaker,
    text: str,
    language: Language | None = None,
    reply_ms: int | None = None,
    seq: int | None = None,
) -> int:
    """Write the next turn down and return its number, from 1 on; once committed it stays.

    `seq` is for a writer that lost the answer to its commit: with the number the turn should have,
    a repeat of the same turn changes nothing.

    Raises:
        CallNotFound: There is no such call.
        CallClosed: It has ended.
        StaleEpoch: Another agent has taken it over.
        TurnTaken: Another turn has this number, or one before it is missing.
    """
    text = storable(text)
    calls.hold(conn, call_id=call_id, epoch=epoch)
    row = conn.execute(
        "SELECT coalesce(max(seq), 0) FROM aurion.turns WHERE call_id = %s", (call_id,)
    ).fetchone()
    assert row is not None
    following: int = row[0] + 1
    if seq is not None and seq != following:
        same = conn.execute(
            """
            SELECT FROM aurion.turns
            WHERE call_id = %s AND seq = %s AND epoch = %s AND speaker = %s AND text = %s
            """,
            (call_id, seq, epoch, speaker, text),
        ).fetchone()
        if same is None:
            raise TurnTaken
        return seq
    conn.execute(
        """
        INSERT INTO aurion.turns
            (call_id, seq, epoch, speaker, text, language, reply_ms, said_at)
        VALUES (%s, %s, %s, %s, %s, %s, %s, clock_timestamp())
        """,
        (call_id, following, epoch, speaker, text, language, reply_ms),
    )
    return following


def set_reply_ms(conn: Connection, *, call_id: UUID, seq: int, reply_ms: int) -> None:
    """Note how long the caller waited for this reply: known only once it is heard.

    Raises:
        CallNotFound: There is no such turn.
    """
    done = conn.execute(
        "UPDATE aurion.turns SET reply_ms = %s WHERE call_id = %s AND seq = %s",
        (reply_ms, call_id, seq),
    )
    if done.rowcount == 0:
        raise CallNotFound


def redact(conn: Connection, *, call_id: UUID, seq: int, text: str = REDACTED) -> None:
    """Replace a turn's text by what may stay of it; allowed at any time, also after the call.

    Raises:
        CallNotFound: There is no such turn.
    """
    done = conn.execute(
        "UPDATE aurion.turns SET text = %s WHERE call_id = %s AND seq = %s",
        (storable(text), call_id, seq),
    )
    if done.rowcount == 0:
        raise CallNotFound


def list_all(conn: Connection, call_id: UUID) -> list[Turn]:
    """List a call's turns in order."""
    return (
        conn.cursor(row_factory=rows_of(Turn))
        .execute("SELECT * FROM aurion.turns WHERE call_id = %s ORDER BY seq", (call_id,))
        .fetchall()
    )
