"""One call from answer to end: claimed, served, closed once."""

import asyncio
import time
from dataclasses import dataclass
from uuid import UUID

from aurion import calls, database, people, turns
from aurion.calls import Call, Outcome
from aurion.tenants import Tenant

from agent_container import call_ending, connections
from agent_container.call_state import CallEvents, CallState, NoEvents
from agent_container.lines import Line
from agent_container.serving import Deps, Serving

__all__ = ["CallResult", "Deps", "run_call"]


@dataclass(frozen=True, slots=True)
class CallResult:
    """What came of a call; `recording` is the object's key, `seconds` how long it took."""

    call_id: UUID
    outcome: Outcome
    level: int
    person_id: UUID | None
    opened: tuple[str, ...]
    commented: tuple[str, ...]
    callbacks: tuple[str, ...]
    recording: str | None
    seconds: float


async def run_call(
    line: Line,
    *,
    call: Call,
    tenant: Tenant,
    deps: Deps,
    events: CallEvents | None = None,
    resume: bool = False,
) -> CallResult:
    """Serve a call until it is over, and close its row exactly once however it ends.

    With `resume` a call whose agent has died goes on where it was: at its row's level, with what
    was said before.

    Raises:
        CallNotFound: There is no such call.
        CallClosed: It has ended.
        DatabaseUnavailable: The call can't be claimed; nobody has spoken yet.
    """
    began = time.monotonic()
    claimed, said, person = await asyncio.to_thread(_claim, tenant, call.id)
    connector = await asyncio.to_thread(deps.connect or connections.connect, tenant)
    state = CallState(
        tenant=tenant,
        call=claimed,
        epoch=claimed.epoch,
        connector=connector,
        events=events or NoEvents(),
        language=claimed.language or tenant.main_language,
        language_fixed=claimed.language is not None,
        person=person,
        level=claimed.level if person is not None else 0,
        transfer_s=deps.transfer_s,
        put_through=line.put_through if line.kind == "room" else None,
    )
    serving = Serving(line, state, deps, said)
    outcome: Outcome = "failed"
    try:
        await serving.run(resume=resume)
        outcome = state.outcome()
    finally:
        recording = await call_ending.end_call(serving, outcome)
    return CallResult(
        call_id=claimed.id,
        outcome=outcome,
        level=state.level,
        person_id=state.person_id,
        opened=tuple(state.opened),
        commented=tuple(state.commented),
        callbacks=tuple(state.callbacks),
        recording=recording,
        seconds=time.monotonic() - began,
    )


def _claim(tenant: Tenant, call_id: UUID) -> tuple[Call, list[turns.Turn], people.Person | None]:
    with database.tenant_transaction(tenant.tenant_id) as conn:
        claimed = calls.claim(conn, call_id=call_id)
        person = people.get(conn, claimed.person_id) if claimed.person_id else None
        return claimed, turns.list_all(conn, call_id), person
