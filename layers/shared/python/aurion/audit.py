"""Who did what, appended and never changed."""

import hashlib
import json
from collections.abc import Mapping
from typing import Literal
from uuid import UUID

from psycopg import Connection

type Actor = Literal["caller", "agent", "operator", "job"]
type Decision = Literal["allowed", "refused", "asked", "failed"]


def record(
    conn: Connection,
    *,
    actor: Actor,
    action: str,
    decision: Decision,
    call_id: UUID | None = None,
    person_id: UUID | None = None,
    level: int | None = None,
    arguments: Mapping[str, object] | None = None,
) -> None:
    """Note an action in the transaction that does it, so that neither is there without the other.

    The arguments are kept as a hash: enough to prove what was asked, too little to read it.
    """
    conn.execute(
        """
        INSERT INTO aurion.audit_events
            (actor, action, decision, call_id, person_id, level, arguments_hash)
        VALUES (%s, %s, %s, %s, %s, %s, %s)
        """,
        (
            actor,
            action,
            decision,
            call_id,
            person_id,
            level,
            None if arguments is None else arguments_hash(arguments),
        ),
    )


def arguments_hash(arguments: Mapping[str, object]) -> str:
    """Return the SHA-256 (hex) of arguments, the same for the same ones in any order."""
    text = json.dumps(arguments, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()
