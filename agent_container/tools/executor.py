"""Run what a model asks for: decide, check, run, and note that it happened.

Nothing here believes a model. A tool above the caller's level is neither offered nor run, arguments
that the tool doesn't have are refused, and a change waits for the caller's own words.
"""

import asyncio
import json
import logging
import time
from collections.abc import Mapping
from typing import Any

from aurion import access, audit, database
from aurion.errors import (
    CallClosed,
    Conflict,
    DatabaseUnavailable,
    NotAllowed,
    NotFound,
    Rejected,
    StaleEpoch,
    Unavailable,
)
from livekit.agents import llm, utils

from agent_container.call_state import PendingWrite, ToolStatus
from agent_container.tools import registry
from agent_container.tools.desk import Desk
from agent_container.tools.registry import ArgumentsRefused, Result

logger = logging.getLogger(__name__)

MOST_CALLS = 120
"""How many tools one call may run, so that a model in a loop comes to an end."""

# What needs no further word of the model: a fixed sentence has said it.
_SPOKEN_FOR = frozenset({"asked", "offered", "opened", "added", "kept", "ended", "answered"})


class Executor:
    """Run the tools of one call."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._ran = 0
        self._running: set[asyncio.Task[Result]] = set()
        self._notes: set[asyncio.Task[None]] = set()

    def offered(self) -> list[llm.Tool | llm.Toolset]:
        """Return the tools that the model may see at the caller's present level."""
        return [self._as_livekit(name) for name in access.offered(self._desk.state)]

    async def run(self, name: str, arguments: Mapping[str, object]) -> Result:
        """Run a tool as a model asked for it, and return what the model may know of it."""
        began = time.perf_counter()
        state = self._desk.state
        decision: audit.Decision = "allowed"
        self._ran += 1
        try:
            if self._ran > MOST_CALLS:
                raise NotAllowed
            access.authorize(state, name, arguments)
            tool = registry.tools()[name]
            result = await self._guarded(tool.run(self._desk, **tool.check(arguments)))
        except (NotAllowed, ArgumentsRefused):
            decision, result = "refused", {"error": "not_allowed"}
        if result.get("status") in ("asked", "offered"):
            decision = "asked"
        elif "error" in result and decision == "allowed":
            decision = "failed"
        if decision == "allowed" and name not in ("end_call", "transfer_to_person"):
            state.answered = True
        if decision != "allowed" or not access.TOOLS[name].writes:
            # A change that happened was noted in the transaction that made it.
            self._note(name, decision, arguments)
        self._tell(name, result, decision, began)
        return result

    async def run_agreed(self, pending: PendingWrite) -> Result:
        """Run a change that the caller has agreed to in their own words."""
        began = time.perf_counter()
        state = self._desk.state
        decision: audit.Decision = "allowed"
        try:
            access.authorize(state, pending.tool, pending.arguments)
            run = registry.consented()[pending.tool]
            result = await self._guarded(run(self._desk, **pending.arguments))
        except NotAllowed:
            decision, result = "refused", {"error": "not_allowed"}
        if "error" in result:
            self._desk.say(
                "trouble.desk" if result["error"] == "desk_unavailable" else "done.not_done"
            )
        else:
            state.writes += 1
        self._tell(pending.tool, result, decision, began)
        return result

    async def aclose(self) -> None:
        """End what still runs (a caller who is gone can't be put through), keep what is noted."""
        await utils.aio.cancel_and_wait(*self._running)
        if self._notes:
            await asyncio.wait(self._notes, timeout=2)

    def _as_livekit(self, name: str) -> llm.RawFunctionTool[..., Any]:
        async def call(raw_arguments: dict[str, object]) -> str:
            # A caller who speaks meanwhile cancels the reply; what has begun here is finished.
            running = asyncio.create_task(self.run(name, raw_arguments), name=f"tool {name}")
            self._running.add(running)
            running.add_done_callback(self._running.discard)
            return json.dumps(await asyncio.shield(running), ensure_ascii=False)

        return llm.function_tool(call, raw_schema=registry.tools()[name].schema())

    async def _guarded(self, running: Any) -> Result:
        try:
            return await running
        except (StaleEpoch, CallClosed):
            self._desk.state.hang_up.set()
            return {"error": "not_allowed"}
        except DatabaseUnavailable:
            return {"error": "desk_unavailable"}
        except Unavailable:
            return {"error": "desk_unavailable"}
        except NotFound:
            return {"error": "not_found"}
        except (Rejected, Conflict):
            logger.warning("a tool was rejected", extra={"call": str(self._desk.state.call_id)})
            return {"error": "not_allowed"}

    def _tell(self, name: str, result: Result, decision: audit.Decision, began: float) -> None:
        status: ToolStatus = "done"
        if decision == "refused":
            status = "refused"
        elif result.get("status") in ("asked", "offered"):
            status = "asked"
        elif "error" in result:
            status = "unavailable" if result["error"] == "desk_unavailable" else "failed"
        self._desk.state.events.tool(name, status, int((time.perf_counter() - began) * 1000))

    def _note(self, name: str, decision: audit.Decision, arguments: Mapping[str, object]) -> None:
        state = self._desk.state
        note = asyncio.to_thread(
            _write_note, state.tenant_id, state.call_id, name[:60], decision, state.person_id,
            state.level, dict(arguments),
        )  # fmt: skip
        task = asyncio.create_task(_quietly(note), name="audit note")
        self._notes.add(task)
        task.add_done_callback(self._notes.discard)


def is_spoken_for(outputs: list[str]) -> bool:
    """Say whether fixed sentences have told the caller everything, so that the model needn't."""
    for output in outputs:
        try:
            result = json.loads(output)
        except ValueError:
            continue
        if isinstance(result, dict) and (
            result.get("status") in _SPOKEN_FOR or "callback" in result
        ):
            return True
    return False


async def _quietly(note: Any) -> None:
    try:
        await note
    except Unavailable:
        logger.warning("a tool call could not be noted: the database does not answer")


def _write_note(
    tenant_id: Any, call_id: Any, action: str, decision: audit.Decision, person_id: Any,
    level: int, arguments: Mapping[str, object],
) -> None:  # fmt: skip
    with database.tenant_transaction(tenant_id) as conn:
        audit.record(
            conn,
            actor="agent",
            action=action,
            decision=decision,
            call_id=call_id,
            person_id=person_id,
            level=level,
            arguments=arguments,
        )
