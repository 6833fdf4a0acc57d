"""Place a call on this machine: the real agent, and a recorded or typing caller."""

import asyncio
import contextlib
import logging
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

from aurion import calls, database, phone_numbers, tenants
from aurion.calls import Call, Channel
from aurion.tenants import Tenant

from agent_container import providers
from agent_container.call import Deps, run_call
from agent_container.config import Config
from agent_container.speech.client import SpeechClient
from local import state, telephone
from local.audio_line import LocalLine, TextLine
from local.caller import Caller
from local.recorded_callers import Script
from local.state import State
from local.telephone import CallRefused
from local.transcript import Transcript

_REPLY_WITHIN_S = 20.0
_TURN_GIVEN_S = 1.0
_LAST_WORD_S = 3.0
_SPEECH_S = 30.0  # a small or busy machine is slow, and a late answer is better than none


async def place(running: State, script: Script, transcript: Transcript) -> tuple[Tenant, UUID]:
    """Call the company of the dialled number and stay until the call is over.

    Raises NumberNotFound when nobody has it, CallRefused when it was not put through, and
    AudioUnreadable when a file holds no audio.
    """
    _log_to(state.home() / "logs" / "agent.log")
    channel: Channel = "local" if script.files else "text"
    tenant, call, phone_line = await asyncio.to_thread(_begin, script, channel)
    async with SpeechClient(running.speech_socket, timeout_s=_SPEECH_S) as speech:
        deps = Deps(
            speech=speech,
            providers=providers.from_config(Config.from_environment(), speech),
            recordings=state.home() / "recordings",
        )
        if script.files:
            line = LocalLine(calling_number=script.calling_number)
            caller = Caller(line, script.files, keys=script.keys)
            talking = asyncio.create_task(caller.run())
            events = caller.watch(transcript)
        else:
            line = TextLine(calling_number=script.calling_number)
            talking = asyncio.create_task(_type(line, transcript))
            events = transcript
        try:
            await run_call(line, call=call, tenant=tenant, deps=deps, events=events)
        finally:
            talking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await talking
            await asyncio.to_thread(telephone.hang_up, phone_line)
    return tenant, call.id


def _begin(script: Script, channel: Channel) -> tuple[Tenant, Call, telephone.Line]:
    """Ring as the telephone company does, and redeem the token it is told to dial."""
    try:
        phone_line = telephone.ring(
            dialled_number=script.dialled_number, calling_number=script.calling_number
        )
    except CallRefused:
        phone_numbers.tenant_of(script.dialled_number)  # the likeliest reason, by its name
        raise
    tenant_id = phone_numbers.tenant_of(script.dialled_number)
    with database.tenant_transaction(tenant_id) as conn:
        call = calls.redeem_token(conn, token=phone_line.token)
        # From here on it goes neither through a telephone nor through a room.
        conn.execute("UPDATE aurion.calls SET channel = %s WHERE id = %s", (channel, call.id))
        return tenants.get(conn), call, phone_line


async def _type(line: TextLine, transcript: Transcript) -> None:
    """Hand typed sentences over, one at a time when they come from a file or a pipe."""
    at_keyboard = sys.stdin.isatty()
    async for text in _typed_lines(transcript, at_keyboard=at_keyboard):
        await line.typed.put(text)
    if not at_keyboard:
        await _quiet(transcript, since=time.time(), for_s=_LAST_WORD_S)
    await line.hang_up()


async def _typed_lines(transcript: Transcript, *, at_keyboard: bool) -> AsyncIterator[str]:
    if at_keyboard:
        transcript.console.print("[dim]Type what the caller says; Ctrl-D hangs up.")
        async for text in _keyboard():
            yield text
        return
    since = transcript.started_at
    for text in sys.stdin.read().splitlines():
        if text.strip():
            await _quiet(transcript, since=since, for_s=_TURN_GIVEN_S)
            since = time.time()
            yield text.strip()


async def _keyboard() -> AsyncIterator[str]:
    # A reader of the loop, not a thread, which would wait for its line longer than the call lasts.
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[str] = asyncio.Queue()
    loop.add_reader(sys.stdin, lambda: lines.put_nowait(sys.stdin.readline()))
    try:
        while text := await lines.get():
            if text.strip():
                yield text.strip()
    finally:
        loop.remove_reader(sys.stdin)


async def _quiet(transcript: Transcript, *, since: float, for_s: float) -> None:
    """Wait until the agent has replied after a moment and has then been quiet for a while."""
    deadline = time.time() + _REPLY_WITHIN_S
    while time.time() < deadline:
        replied = transcript.agent_spoke_at > since
        if replied and time.time() - transcript.last_event_at > for_s:
            return
        await asyncio.sleep(0.05)


def _log_to(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    root = logging.getLogger()
    if not any(isinstance(handler, logging.FileHandler) for handler in root.handlers):
        handler = logging.FileHandler(path)
        handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
        root.addHandler(handler)
        root.setLevel(logging.INFO)
