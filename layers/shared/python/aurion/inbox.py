"""What arrives from outside, each event once."""

from typing import Literal

from psycopg import Connection

type Provider = Literal["twilio", "livekit", "itsm", "stripe", "mail", "push"]


def accept(conn: Connection, *, provider: Provider, event_id: str) -> bool:
    """Say whether an event is new; its effect belongs into the same transaction.

    A copy that arrives meanwhile waits for this transaction: it is new only if this one fails.
    """
    row = conn.execute(
        """
        INSERT INTO aurion.inbox_events (provider, event_id) VALUES (%s, %s)
        ON CONFLICT (tenant_id, provider, event_id) DO NOTHING
        RETURNING true
        """,
        (provider, event_id),
    ).fetchone()
    return row is not None
