"""The end of a call on every side: the line, the agents, the row, the recording."""

import asyncio
import contextlib
import logging

from aurion import calls, database, drafts, outbox, tickets
from aurion.calls import Outcome
from aurion.drafts import Draft, SealedDraft
from aurion.errors import (
    CallClosed,
    DatabaseUnavailable,
    KeysUnavailable,
    QueueUnavailable,
    StaleEpoch,
)

from agent_container.call_state import CallState
from agent_container.serving import Serving

logger = logging.getLogger(__name__)

_CLOSE_TRIES = 5


async def end_call(serving: Serving, outcome: Outcome) -> str | None:
    """Hang up, stop, close the row once, store the recording; return the recording's key.

    A call that another agent has taken over is left as it is.
    """
    state, log = serving.state, serving.log
    key: str | None = None
    async with contextlib.AsyncExitStack() as last:
        # In reverse order, and each whatever became of the others.
        last.callback(state.events.state, "over")
        last.push_async_callback(state.connector.aclose)
        if serving.voices is not None:
            last.push_async_callback(serving.voices.aclose)
        try:
            if not serving.line.closed.is_set() and not log.taken_over.is_set():
                await serving.line.hang_up()
            await serving.aclose()
            await log.flush(5.0)
            await log.aclose()
        finally:
            ours = not log.taken_over.is_set() and await close_row(
                state, outcome, message=serving.undelivered_message()
            )
            if ours:
                key = await serving.recording.finish()
            else:
                await serving.recording.discard()
    return key


async def close_row(state: CallState, outcome: Outcome, *, message: str = "") -> bool:
    """Close the row; what can't be closed now is closed by the sweep, with a call-back.

    `message` is what the caller said while the database was down and nobody knows of yet. False
    when another agent has taken the call over, which is its own to close.
    """
    for attempt in range(_CLOSE_TRIES):
        try:
            await asyncio.to_thread(_close, state, outcome, message)
            break
        except StaleEpoch:
            return False
        except CallClosed:
            return True
        except DatabaseUnavailable:
            await asyncio.sleep(2**attempt)
    else:
        logger.error("a call could not be closed", extra={"call": str(state.call_id)})
        return True
    with contextlib.suppress(QueueUnavailable, DatabaseUnavailable):
        await asyncio.to_thread(outbox.flush, state.tenant_id)
    return True


def _close(state: CallState, outcome: Outcome, message: str) -> None:
    left = _seal(state, message) if message else []
    with database.tenant_transaction(state.tenant_id) as conn:
        calls.close(conn, call_id=state.call_id, epoch=state.epoch, outcome=outcome, left=left)


def _seal(state: CallState, message: str) -> list[SealedDraft]:
    draft = Draft(
        call_id=state.call_id,
        kind="callback",
        idempotency_key=tickets.callback_key(state.call_id),
        text=message,
        language=state.language,
        summary=message[:120],
        ticket_kind="callback",
        requester_email=None if state.person is None else state.person.email,
    )
    try:
        return [drafts.seal(state.tenant_id, draft)]
    except KeysUnavailable:
        return []
