"""Serve one caller: what lives as long as the call does, and which agent speaks."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aurion import calls, database, turns
from aurion.errors import CallClosed, CallNotFound, DatabaseUnavailable, StaleEpoch
from aurion.itsm import Connector
from aurion.tenants import Tenant
from livekit.agents import llm, utils
from livekit.agents.types import NOT_GIVEN
from livekit.agents.voice import room_io

from agent_container import config, phrases
from agent_container.call_session import SessionVoice, history, make_session
from agent_container.call_state import CallState
from agent_container.desk_agent import DeskAgent
from agent_container.guarded_hearing import GuardedEars
from agent_container.hearing import Ears
from agent_container.lines import Line
from agent_container.providers import Providers, Voices
from agent_container.recogniser import Recogniser
from agent_container.recording import CallRecording
from agent_container.speech.client import SpeechClient
from agent_container.tools.desk import Desk
from agent_container.tools.executor import Executor, is_spoken_for
from agent_container.turn_log import TurnLog
from agent_container.verify_caller import VerifyCaller


@dataclass(frozen=True, slots=True)
class Deps:
    """What a process holds for all its calls; `recordings` is the folder for working files.

    `transfer_s` is how long a colleague is looked for; `connect` reaches a company's ticket system
    in another way than by its row.
    """

    speech: SpeechClient
    providers: Providers
    recordings: Path | None = None
    transfer_s: float = config.TRANSFER_S
    connect: Callable[[Tenant], Connector] | None = None


class Serving:
    """Everything that lives as long as the call does."""

    def __init__(self, line: Line, state: CallState, deps: Deps, said: list[turns.Turn]) -> None:
        self.line = line
        self.state = state
        self.deps = deps
        self.said = said
        self.log = TurnLog(state.tenant_id, state.call_id, epoch=state.epoch, written=len(said))
        self.recording = CallRecording(state, deps.recordings)
        self.voices = None if line.kind == "text" else Voices(deps.providers.voice)
        self.recogniser = Recogniser(state, deps.speech, deps.providers)
        self.ears = Ears(self.recogniser.locally, began=self._began)
        self.session = make_session(state, deps.providers, audible=line.kind != "text")
        self.voice = SessionVoice(self.session, state, self.voices)
        self.desk: DeskAgent | None = None
        self.executor: Executor | None = None
        self.verifier: VerifyCaller | None = None
        self._ready = asyncio.Event()
        self._desk_ready = asyncio.Event()
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, *, resume: bool) -> None:
        """Serve the caller until one side ends the call."""
        state = self.state
        self.log.start()
        self._spawn(self._keep_lease())
        self._watch_session()
        self.line.on_key(self._pressed)
        await self.recording.begin(self.line, secure=not (resume and state.level > 0))
        if self.line.kind != "text":
            self.ears.start()
        known = resume and (state.level > 0 or state.language_fixed)
        if known:
            state.verification = "verified" if state.level else "failed"
            agent: DeskAgent | VerifyCaller = self._make_desk(resumed=True)
        else:
            self.verifier = agent = VerifyCaller(
                state,
                log=self.log,
                speech=self.deps.speech,
                ears=self.ears,
                tape=self.recording.tape,
                voices=self.voices,
                ready=self._ready,
            )
        await self._start(agent)
        if self.line.typed is not None:
            self._spawn(self._read_typed(self.line.typed))
        self._spawn(self._serve())
        await self._until_over()

    def undelivered_message(self) -> str:
        """Return what the caller said while the database was down, if it has not left yet."""
        return "" if self.desk is None else self.desk.undelivered_message()

    async def aclose(self) -> None:
        """Stop everything; the caller is gone or about to be."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)
        await self.session.aclose()
        await self.ears.aclose()
        if self.executor is not None:
            await self.executor.aclose()

    async def _start(self, agent: DeskAgent | VerifyCaller) -> None:
        line, session = self.line, self.session
        if line.room is not None:
            await session.start(
                agent,
                room=line.room,
                record=False,
                session_host=False,
                room_options=room_io.RoomOptions(
                    participant_identity=line.caller_identity or NOT_GIVEN,
                    text_input=False,
                    text_output=False,
                    # Whether the room goes is the line's to say: a hand-over may need it.
                    delete_room_on_close=False,
                    audio_input=room_io.AudioInputOptions(
                        sample_rate=16000, frame_size_ms=20, pre_connect_audio=False
                    ),
                ),
            )
            self.recording.tap(session)
        else:
            session.input.audio = line.audio_input
            session.output.audio = line.audio_output
            self.recording.tap(session)
            await session.start(agent, record=False, session_host=False)
        self._ready.set()

    async def _serve(self) -> None:
        """Verify, then hand over to the desk; a failure here fails the call."""
        try:
            if self.verifier is not None:
                ending = await self.verifier.ended
                if ending == "over":
                    self.state.hang_up.set()
                    return
                desk = self._make_desk(wants_person=ending == "person")
                self.session.update_agent(desk)
                await desk.entered.wait()
            if not self.state.recording_stopped:
                self.recording.tape.open()
            if self.ears.speaking:
                self.recording.tape.hold()
            self.ears.recognise = self.recogniser.by_provider
            self._desk_ready.set()
        except BaseException as error:
            if not self._failed.done() and not isinstance(error, asyncio.CancelledError):
                self._failed.set_exception(error)
            raise

    def _make_desk(self, *, resumed: bool = False, wants_person: bool = False) -> DeskAgent:
        state = self.state
        desk = Desk(state, self.voice)
        self.executor = Executor(desk)
        self.desk = DeskAgent(
            state,
            model=self.deps.providers.language_model(state.language, state.tenant.name),
            voice=None if self.voices is None else self.voices.of(state.language),
            executor=self.executor,
            desk=desk,
            log=self.log,
            ears=GuardedEars(state, self.ears, self.recording.tape),
            tape=self.recording.tape,
            history=history(self.said),
            resumed=resumed,
            wants_person=wants_person,
        )
        return self.desk

    def _pressed(self, key: str) -> None:
        if self.verifier is not None and not self.verifier.ended.done():
            self.verifier.pressed(key)
        elif key == "0" and self.desk is not None:
            self.desk.demand_person()

    async def _read_typed(self, typed: asyncio.Queue[str]) -> None:
        while True:
            text = await typed.get()
            self.state.stopped_speaking_at = time.time()
            if self.verifier is not None and not self.verifier.ended.done():
                await self.verifier.typed(text)
                continue
            await self._desk_ready.wait()
            assert self.desk is not None
            await self.desk.typed(text)

    def _began(self) -> None:
        self.recording.tape.hold()

    def _watch_session(self) -> None:
        """Note what the agent says, when it begins to, and when a model fails."""
        state = self.state

        def item_added(event: object) -> None:
            item = getattr(event, "item", None)
            if isinstance(item, llm.ChatMessage) and item.role == "assistant":
                text = item.text_content or ""
                reply_ms = state.take_reply_ms()
                state.note_steps(text)
                state.events.said("agent", text, item.created_at, reply_ms)
                self.log.agent(text, state.language, reply_ms)

        def state_changed(event: object) -> None:
            if getattr(event, "new_state", None) == "speaking":
                state.began_to_reply()

        def tools_executed(event: object) -> None:
            outputs = [output.output for output in getattr(event, "function_call_outputs", [])]
            if is_spoken_for(outputs):
                getattr(event, "cancel_tool_reply")()  # noqa: B009 - events are untyped here

        def failed(event: object) -> None:
            error = getattr(event, "error", None)
            if getattr(error, "type", "") == "llm_error" and not getattr(
                error, "recoverable", True
            ):
                self.voice.say(phrases.say("trouble.again", state.language))

        self.session.on("conversation_item_added", item_added)
        self.session.on("agent_state_changed", state_changed)
        self.session.on("function_tools_executed", tools_executed)
        self.session.on("error", failed)
        self.session.on("close", lambda _: state.session_closed.set())

    async def _until_over(self) -> None:
        state = self.state
        ends = [
            asyncio.create_task(event.wait())
            for event in (
                self.line.closed, state.hang_up, self.log.taken_over, state.session_closed
            )
        ]  # fmt: skip
        try:
            await asyncio.wait([*ends, self._failed], return_when=asyncio.FIRST_COMPLETED)
        finally:
            await utils.aio.cancel_and_wait(*ends)
        if self._failed.done():
            await self._failed
        self._failed.cancel()

    async def _keep_lease(self) -> None:
        state = self.state
        while True:
            await asyncio.sleep(config.HEARTBEAT_S)
            try:
                await asyncio.to_thread(_renew, state)
            except (StaleEpoch, CallClosed, CallNotFound):
                self.log.taken_over.set()
                return
            except DatabaseUnavailable:
                continue

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _renew(state: CallState) -> None:
    with database.tenant_transaction(state.tenant_id) as conn:
        calls.renew(conn, call_id=state.call_id, epoch=state.epoch)
