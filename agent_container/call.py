"""One call from answer to end: who holds it, which agents serve it, and what is left of it."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from aurion import calls, database, drafts, itsm, outbox, people, secrets, tickets, turns
from aurion.calls import Call, Outcome
from aurion.drafts import Draft, SealedDraft
from aurion.errors import (
    CallClosed,
    CallNotFound,
    DatabaseUnavailable,
    KeysUnavailable,
    QueueUnavailable,
    StaleEpoch,
)
from aurion.itsm import Connector
from aurion.tenants import Tenant
from livekit.agents import AgentSession, llm, utils
from livekit.agents.types import NOT_GIVEN, APIConnectOptions
from livekit.agents.voice import SpeechHandle, room_io
from livekit.agents.voice.agent_session import SessionConnectOptions

from agent_container import config, phrases
from agent_container.call_state import CallEvents, CallState, NoEvents
from agent_container.desk_agent import DeskAgent
from agent_container.guarded_hearing import GuardedEars
from agent_container.hearing import Ears, voice_detector
from agent_container.lines import Line
from agent_container.providers import Providers, Voices
from agent_container.recogniser import Recogniser
from agent_container.recording import CallRecording
from agent_container.speech.client import SpeechClient
from agent_container.tools.desk import Desk
from agent_container.tools.executor import Executor, is_spoken_for
from agent_container.turn_log import TurnLog
from agent_container.verify_caller import VerifyCaller

logger = logging.getLogger(__name__)

_CLOSE_TRIES = 5


@dataclass(frozen=True, slots=True)
class Deps:
    """What a process holds for all its calls; `recordings` is the folder for working files."""

    speech: SpeechClient
    providers: Providers
    recordings: Path | None = None
    transfer_s: float = config.TRANSFER_S
    connect: Callable[[Tenant], Connector] | None = None


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

    With `resume` a call whose agent has died goes on where it was: at its row's level, with what was
    said before.

    Raises:
        CallNotFound: There is no such call.
        CallClosed: It has ended.
        DatabaseUnavailable: The call can't be claimed; nobody has spoken yet.
    """
    began = time.monotonic()
    claimed, said, person = await asyncio.to_thread(_claim, tenant, call.id)
    connector = await asyncio.to_thread(deps.connect or connect, tenant)
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
    )
    serving = _Serving(line, state, deps, said)
    outcome: Outcome = "failed"
    try:
        await serving.run(resume=resume)
        outcome = state.outcome()
    finally:
        recording = await _finish(serving, outcome)
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


def connect(tenant: Tenant) -> Connector:
    """Make the connector of a company's ticket system, with the secret its row names."""
    secret = secrets.get(tenant.itsm_secret) if tenant.itsm_secret else ""
    return itsm.connect(tenant.itsm_kind, base_url=tenant.itsm_url, secret=secret)


class _Serving:
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
        self.session = _session(line, state, deps)
        self.voice = _SessionVoice(self.session, state, self.voices)
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
            history=_history(self.said),
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


class _SessionVoice:
    """Say fixed sentences in a session."""

    def __init__(self, session: AgentSession[None], state: CallState, voices: Voices | None) -> None:
        self._session = session
        self._state = state
        self._voices = voices
        self._said: set[SpeechHandle] = set()

    def say(self, text: str) -> None:
        voices = self._voices
        audio = NOT_GIVEN if voices is None else voices.speak(text, self._state.language)
        with contextlib.suppress(RuntimeError):  # the session is closing: nobody listens
            handle = self._session.say(text, audio=audio)
            self._said.add(handle)
            handle.add_done_callback(self._said.discard)

    async def finish(self) -> None:
        while self._said:
            await next(iter(self._said)).wait_for_playout()
            await asyncio.sleep(0)  # let the handle's callbacks run


def _session(line: Line, state: CallState, deps: Deps) -> AgentSession[None]:
    audible = line.kind != "text"
    impatient = APIConnectOptions(max_retry=1, retry_interval=0.3, timeout=8.0)
    return AgentSession(
        # The recogniser stands here so that the session runs our `stt_node`; that one asks it.
        stt=deps.providers.recogniser(state.language) if audible else NOT_GIVEN,
        vad=voice_detector(end_of_speech_s=0.25) if audible else None,
        tts=deps.providers.voice(state.language) if audible else NOT_GIVEN,
        turn_handling={
            "turn_detection": "vad" if audible else "manual",
            # `hearing` has waited for the end of the turn already.
            "endpointing": {"min_delay": 0.05, "max_delay": 1.0},
            "interruption": {
                "mode": "vad",
                "min_duration": 0.5,
                "resume_false_interruption": True,
                "false_interruption_timeout": 1.5,
            },
            # The guard and the commit come before any model sees a word.
            "preemptive_generation": {"enabled": False},
        },
        max_tool_steps=6,
        user_away_timeout=None,
        aec_warmup_duration=None,
        conn_options=SessionConnectOptions(llm_conn_options=impatient, tts_conn_options=impatient),
    )


def _claim(tenant: Tenant, call_id: UUID) -> tuple[Call, list[turns.Turn], people.Person | None]:
    with database.tenant_transaction(tenant.tenant_id) as conn:
        claimed = calls.claim(conn, call_id=call_id)
        person = people.get(conn, claimed.person_id) if claimed.person_id else None
        return claimed, turns.list_all(conn, call_id), person


def _renew(state: CallState) -> None:
    with database.tenant_transaction(state.tenant_id) as conn:
        calls.renew(conn, call_id=state.call_id, epoch=state.epoch)


def _history(said: list[turns.Turn]) -> llm.ChatContext:
    """Rebuild what a model knew of a call from the turns that were committed."""
    history = llm.ChatContext.empty()
    for turn in said:
        if turn.text.startswith("[redacted"):
            continue
        history.add_message(
            role="user" if turn.speaker == "caller" else "assistant",
            content=turn.text,
            created_at=turn.said_at.timestamp(),
        )
    return history


async def _finish(serving: _Serving, outcome: Outcome) -> str | None:
    """End the call on every side: the line, the agents, the row, the recording."""
    state = serving.state
    if not serving.line.closed.is_set() and not serving.log.taken_over.is_set():
        await serving.line.hang_up()
    await serving.aclose()
    await serving.log.flush(5.0)
    await serving.log.aclose()
    taken_over = serving.log.taken_over.is_set()
    recording: str | None = None
    if taken_over:
        await serving.recording.discard()
    else:
        await _close(serving, outcome)
        recording = await serving.recording.finish()
    await state.connector.aclose()
    if serving.voices is not None:
        await serving.voices.aclose()
    state.events.state("over")
    return recording


async def _close(serving: _Serving, outcome: Outcome) -> None:
    """Close the row; a call nobody can close now is closed by the sweep, with a call-back."""
    state = serving.state
    for attempt in range(_CLOSE_TRIES):
        try:
            left = await asyncio.to_thread(_undelivered, serving)
            await asyncio.to_thread(_close_row, state, outcome, left)
            break
        except (StaleEpoch, CallClosed):
            return
        except DatabaseUnavailable:
            await asyncio.sleep(2**attempt)
    else:
        logger.error("a call could not be closed", extra={"call": str(state.call_id)})
        return
    with contextlib.suppress(QueueUnavailable, DatabaseUnavailable):
        await asyncio.to_thread(outbox.flush, state.tenant_id)


def _close_row(state: CallState, outcome: Outcome, left: list[SealedDraft]) -> None:
    with database.tenant_transaction(state.tenant_id) as conn:
        calls.close(conn, call_id=state.call_id, epoch=state.epoch, outcome=outcome, left=left)


def _undelivered(serving: _Serving) -> list[SealedDraft]:
    """Seal a message that was taken while the database was down and has not left yet."""
    state = serving.state
    message = serving.desk.undelivered_message() if serving.desk is not None else ""
    if not message:
        return []
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
