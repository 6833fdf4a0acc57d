"""What leaves for our own queues: ids, written with the effect and sent afterwards."""

import json
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from psycopg import Connection

from aurion import aws, database
from aurion.aws import AwsRefused
from aurion.database.rows import rows_of
from aurion.errors import QueueUnavailable
from aurion.settings import settings

type MessageKind = Literal["call_closed"]

_LEASE_S = 60
_LONGEST_WAIT_S = 900


@dataclass(frozen=True, slots=True)
class Message:
    """A message on its way out; `attempts` counts the present one too."""

    id: UUID
    kind: MessageKind
    subject_id: UUID
    attempts: int


def enqueue(conn: Connection, *, kind: MessageKind, subject_id: UUID) -> None:
    """Have a message sent once this transaction has committed; a second of its kind is dropped."""
    conn.execute(
        """
        INSERT INTO aurion.outbox_messages (kind, subject_id) VALUES (%s, %s)
        ON CONFLICT (tenant_id, kind, subject_id) DO NOTHING
        """,
        (kind, subject_id),
    )


def claim_due(conn: Connection, *, limit: int = 50) -> list[Message]:
    """Take messages that are due; nobody else gets them until a growing pause is over."""
    return (
        conn.cursor(row_factory=rows_of(Message))
        .execute(
            """
            UPDATE aurion.outbox_messages AS m
            SET attempts = m.attempts + 1,
                next_attempt_at = clock_timestamp() + make_interval(
                    secs => least(%(longest)s, %(lease)s * power(2, least(m.attempts, 10))))
            FROM (
                SELECT id FROM aurion.outbox_messages
                WHERE sent_at IS NULL AND next_attempt_at <= clock_timestamp()
                ORDER BY next_attempt_at
                LIMIT %(limit)s
                FOR UPDATE SKIP LOCKED
            ) AS due
            WHERE m.id = due.id
            RETURNING m.id, m.kind, m.subject_id, m.attempts
            """,
            {"longest": _LONGEST_WAIT_S, "lease": _LEASE_S, "limit": limit},
        )
        .fetchall()
    )


def mark_sent(conn: Connection, message_id: UUID) -> None:
    """Note that the queue has a message."""
    conn.execute(
        "UPDATE aurion.outbox_messages SET sent_at = clock_timestamp() WHERE id = %s", (message_id,)
    )


def flush(tenant_id: UUID, *, limit: int = 50) -> int:
    """Send a tenant's due messages and return how many the queue took.

    A message arrives at least once: a crash between the queue's answer and our note sends it again.

    Raises:
        QueueUnavailable: The queue does not answer; what wasn't sent stays due.
        DatabaseUnavailable: The database does not answer.
    """
    queue = settings().closed_calls_queue_url
    if queue is None:
        return 0
    with database.tenant_transaction(tenant_id) as conn:
        messages = claim_due(conn, limit=limit)
    for message in messages:
        _send(queue, tenant_id, message)
        with database.tenant_transaction(tenant_id) as conn:
            mark_sent(conn, message.id)
    return len(messages)


def _send(queue: str, tenant_id: UUID, message: Message) -> None:
    body = {
        "version": 1,
        "id": str(message.id),
        "kind": message.kind,
        "tenant_id": str(tenant_id),
        "subject_id": str(message.subject_id),
    }
    try:
        aws.call(aws.client("sqs"), "send_message", QueueUrl=queue, MessageBody=json.dumps(body))
    except AwsRefused as error:
        raise QueueUnavailable from error
