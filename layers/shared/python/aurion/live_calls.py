"""The calls that have an agent now, and who takes over when an agent's worker is gone.

A worker shows once a second that its calls' agents live. Every worker looks for calls of which
nothing was seen for some seconds: the voice server itself needs 20 s to notice, in which the caller
would hear nothing.
"""

from dataclasses import dataclass
from uuid import UUID

import psycopg
from psycopg import Connection

from aurion import database
from aurion.database.rows import rows_of
from aurion.errors import CallNotFound

SHOWN_EVERY_S = 1.0
"""How often a worker shows that its agents live."""

SILENT_S = 3.5
"""After how long without a sign an agent counts as gone; a slow second or two is no death."""


@dataclass(frozen=True, slots=True)
class LiveCall:
    """A call with an agent; `agent` is its name in the room, `tries` how many the call has lost."""

    tenant_id: UUID
    call_id: UUID
    room: str
    agent_name: str
    agent: str
    tries: int


def show(conn: Connection, call: LiveCall) -> None:
    """Show that a call's agent lives; one that was given up for a newer agent is not heard.

    Raises:
        CallNotFound: The tenant that the transaction acts for has no such call.
    """
    try:
        conn.execute(
            "SELECT aurion.show_agent(%s, %s, %s, %s, %s)",
            (call.call_id, call.room, call.agent_name, call.agent, call.tries),
        )
    except psycopg.errors.ForeignKeyViolation:
        raise CallNotFound from None


def lose(conn: Connection, *, call_id: UUID, tries: int) -> None:
    """Note that a call's agent is dead and another one is on its way: nobody else need send one."""
    conn.execute("SELECT aurion.lose_agent(%s, %s)", (call_id, tries))


def forget(conn: Connection, *, call_id: UUID, agent: str) -> None:
    """Note that an agent has done its call; a newer agent's sign stays."""
    conn.execute("SELECT aurion.forget_agent(%s, %s)", (call_id, agent))


def take_silent(*, silent_s: float = SILENT_S) -> list[LiveCall]:
    """Take the calls whose agent has shown nothing for so long, of all tenants, each only once.

    They count as seen from now: whoever took them has as long again to bring another agent.

    Raises:
        DatabaseUnavailable: The database does not answer.
    """
    with database.system_transaction() as conn:
        rows = conn.cursor(row_factory=rows_of(LiveCall)).execute(
            "SELECT * FROM aurion.take_silent_calls(%s)", (silent_s,)
        )
        return rows.fetchall()
