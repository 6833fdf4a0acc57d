"""Calls by sound in this process: the agent's session on a local line, a caller who is played."""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aurion.calls import Call

from agent_container.call import CallResult, Deps, run_call
from local.audio_line import LocalLine
from local.caller import Caller
from tests.typed_calls import Company, Witness


@dataclass(frozen=True, slots=True)
class HeardCall:
    """A call that is over: what came of it, what its events told, how long replies took (ms)."""

    call: Call
    result: CallResult
    seen: Witness
    reply_ms: list[int]


async def hold_call(
    company: Company,
    files: Sequence[Path],
    *,
    deps: Deps,
    keys: str | None = None,
    hang_up_after_s: float | None = None,
) -> HeardCall:
    """Play a caller to the agent until one side hangs up.

    Without files the caller says nothing at all, and with `hang_up_after_s` they leave in the
    middle of whatever happens then.
    """
    call = await asyncio.to_thread(company.start_call, channel="local")
    line = LocalLine(calling_number=None)
    caller = Caller(line, files, keys=keys)
    reply_ms: list[int] = []
    caller.on_reply(reply_ms.append)
    seen = Witness()
    doing = [asyncio.create_task(caller.run())] if files else []
    if hang_up_after_s is not None:
        doing.append(asyncio.create_task(_leave(line, hang_up_after_s)))
    try:
        result = await run_call(line, call=call, tenant=company.tenant, deps=deps, events=seen)
    finally:
        for task in doing:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
    return HeardCall(call, result, seen, reply_ms)


async def _leave(line: LocalLine, after_s: float) -> None:
    await asyncio.sleep(after_s)
    await line.hang_up()
