"""The desk: what happens between a verified caller (or an unverified one) and the end of the call.

A caller's turn is committed before anything answers it. What must not depend on a model is decided
here first: control words, and whether the caller has agreed to a change.
"""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterable, Coroutine
from typing import Any, override

from aurion.errors import Rejected, Unavailable
from livekit import rtc
from livekit.agents import Agent, ModelSettings, StopResponse, llm, stt, tts, utils

from agent_container import config, consent, control_words, phrases, prompts, recording
from agent_container.call_state import CallState, PendingWrite
from agent_container.guarded_hearing import GuardedEars
from agent_container.recording import Tape
from agent_container.tools.desk import Desk
from agent_container.tools.executor import Executor
from agent_container.turn_log import TurnLog

logger = logging.getLogger(__name__)


class DeskAgent(Agent):
    """Serve the caller with a language model that can do nothing by itself."""

    def __init__(
        self,
        state: CallState,
        *,
        model: llm.LLM,
        voice: tts.TTS | None,
        executor: Executor,
        desk: Desk,
        log: TurnLog,
        ears: GuardedEars,
        tape: Tape,
        history: llm.ChatContext,
        resumed: bool = False,
        wants_person: bool = False,
    ) -> None:
        first_name = None if state.person is None else state.person.name.split()[0]
        super().__init__(
            instructions=prompts.instructions(
                state.language, company=state.tenant.name, level=state.level, name=first_name
            ),
            llm=model,
            tts=voice,
            tools=executor.offered(),
            chat_ctx=history,
        )
        self._state = state
        self._executor = executor
        self._desk = desk
        self._log = log
        self._ears = ears
        self._tape = tape
        self._resumed = resumed
        self._wants_person = wants_person
        self._working: set[asyncio.Task[None]] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._message: list[str] = []
        self._last_heard = time.monotonic()
        self.entered = asyncio.Event()

    @override
    async def on_enter(self) -> None:
        state = self._state
        state.events.state("desk")
        self.entered.set()
        self._work(self._prefetch())
        if state.call.channel != "text":
            self._work(self._watch_silence())
        if self._wants_person:
            self._work(self._to_person(""))
            return
        if self._resumed:
            # The caller has heard a sentence break off, and then nothing.
            self._desk.say("trouble.resumed")
            return
        if state.verification != "verified" or state.person is None:
            return
        first_name = state.person.name.split()[0]
        kept, state.kept = " ".join(state.kept), []
        if kept:
            self._desk.say("verify.welcome", name=first_name)
            self._work(self.typed(kept))
        else:
            # In one breath: a pause after the thanks invites the caller to speak into the question.
            self._desk.say("verify.welcome", "verify.how_can_i_help", name=first_name)

    @override
    async def on_exit(self) -> None:
        await utils.aio.cancel_and_wait(*self._working)

    @override
    async def stt_node(  # pyright: ignore[reportIncompatibleMethodOverride] - an async generator
        self, audio: AsyncIterable[rtc.AudioFrame], model_settings: ModelSettings
    ):
        feeding = asyncio.create_task(self._ears.feed(audio))
        try:
            async for sentence in self._ears.sentences():
                self._state.stopped_speaking_at = sentence.ended_at
                data = stt.SpeechData(
                    language=self._state.language,  # pyright: ignore[reportArgumentType]
                    text=sentence.text,
                    confidence=sentence.confidence,
                )
                yield stt.SpeechEvent(stt.SpeechEventType.FINAL_TRANSCRIPT, alternatives=[data])
        finally:
            await utils.aio.cancel_and_wait(feeding)

    @override
    async def on_user_turn_completed(
        self, turn_ctx: llm.ChatContext, new_message: llm.ChatMessage
    ) -> None:
        if not await self._take(new_message.text_content or ""):
            raise StopResponse

    async def typed(self, text: str) -> None:
        """Answer a sentence that did not come by ear, and wait until it is answered."""
        judged = self._ears.judge_typed(text)
        if await self._take(judged):
            await self.session.generate_reply(user_input=judged)
        await self._until_quiet()

    def demand_person(self) -> None:
        """Put the caller through: they pressed 0."""
        self._work(self._to_person(""))

    def undelivered_message(self) -> str:
        """Return what the caller said while the database was down, if it has not left yet."""
        return " ".join(self._message)

    async def _take(self, text: str) -> bool:
        """Commit what the caller said and act on it; True when the model is to answer."""
        state = self._state
        if not text.strip() or state.hang_up.is_set():
            return False
        state.utterance = text
        self._last_heard = time.monotonic()
        state.events.said("caller", text, time.time(), None)
        committed = await self._log.caller(text, state.language)
        if self._log.taken_over.is_set():
            return False
        if not committed:
            await self._remember(text)
            self._take_message(text)
            return False
        if self._message:
            await self._deliver_message()
        if state.transferring:
            await self._remember(text)
            self._desk.say("person.still_trying")
            return False
        match control_words.find(text, [state.language]):
            case "person":
                await self._remember(text)
                self._serve(self._to_person(text))
                return False
            case "silent":
                await self._remember(text)
                recorded = await recording.stop(state, self._tape)
                self._desk.say("recording.stopped" if recorded else "recording.none")
                return False
            case _:
                pass
        state.problem = state.problem or text
        return await self._settle_pending(text)

    async def _settle_pending(self, text: str) -> bool:
        """Decide whether the caller has agreed to what waits; True when the model is to answer."""
        state = self._state
        pending = state.pending
        if pending is None:
            return True
        verdict = consent.judge(text, state.language, context=pending.mode)
        agreed = verdict == "open_ticket" and pending.tool == "open_ticket"
        agreed = agreed or (verdict == "yes" and pending.mode == "asked")
        if agreed:
            state.pending = None
            await self._remember(text)
            self._serve(self._execute(pending))
            return False
        left = pending.turns_left - 1
        keep = pending.mode == "offered" and verdict != "no" and left > 0
        state.pending = (
            PendingWrite(pending.tool, pending.arguments, "offered", left) if keep else None
        )
        return True

    async def _execute(self, pending: PendingWrite) -> None:
        call = llm.FunctionCall(
            call_id=utils.shortuuid("agreed_"),
            name=pending.tool,
            arguments=json.dumps(dict(pending.arguments), ensure_ascii=False),
        )
        result = await self._executor.run_agreed(pending)
        output = llm.FunctionCallOutput(
            call_id=call.call_id,
            name=call.name,
            output=json.dumps(result, ensure_ascii=False),
            is_error=False,
            created_at=call.created_at,
        )
        history = self.chat_ctx.copy()
        history.insert([call, output])
        await self.update_chat_ctx(history)

    async def _to_person(self, reason: str) -> None:
        state = self._state
        if state.transferring:
            return
        about = state.problem or reason or phrases.say("person.wanted", state.language)
        state.pending = None
        await self._executor.run("transfer_to_person", {"reason": about})

    def _take_message(self, text: str) -> None:
        """The database is down: say so once, keep what is said, and pass it on when it is back."""
        first = not self._message
        self._message.append(text)
        self._state.message_taken = True
        self._desk.say("trouble.database" if first else "trouble.message_taken")
        if first:
            self._work(self._pass_on_when_back())

    async def _pass_on_when_back(self) -> None:
        await self._log.recovered()
        self._desk.say("trouble.restored")
        await self._deliver_message()

    async def _deliver_message(self) -> None:
        message, self._message = " ".join(self._message), []
        if not message:
            return
        await self._executor.run_agreed(
            PendingWrite("request_callback", {"reason": message}, "asked")
        )

    async def _remember(self, text: str) -> None:
        """Let the model know later what the caller said, though it isn't asked now."""
        history = self.chat_ctx.copy()
        history.add_message(role="user", content=text)
        await self.update_chat_ctx(history)

    async def _prefetch(self) -> None:
        """Ask for what the caller is likely to want, before they do."""
        desk = self._desk

        async def fetch() -> None:
            await desk.tickets()
            await desk.assets()

        for fetched in await asyncio.gather(fetch(), desk.outages(), return_exceptions=True):
            if isinstance(fetched, BaseException) and not isinstance(
                fetched, Unavailable | Rejected
            ):
                raise fetched

    async def _watch_silence(self) -> None:
        """Ask a caller who says nothing whether they are there, and end the call in the end."""
        asked = 0
        quiet_since = time.monotonic()
        while not self._state.hang_up.is_set():
            await asyncio.sleep(0.5)
            state = self.session.agent_state
            if state in ("speaking", "thinking") or self._ears.busy or self._state.transferring:
                quiet_since = time.monotonic()
                continue
            if self._last_heard > quiet_since:
                asked, quiet_since = 0, time.monotonic()
            if time.monotonic() - quiet_since < config.DESK_SILENCE_S:
                continue
            quiet_since = time.monotonic()
            asked += 1
            if asked < 3:
                self._desk.say("silence.first" if asked == 1 else "silence.second")
                continue
            self._desk.say("silence.goodbye")
            await self._desk.voice.finish()
            self._state.hang_up.set()

    async def _until_quiet(self) -> None:
        """Wait until what was begun for the caller is done and said."""
        if self._serving:
            await asyncio.wait(self._serving)
        await self._desk.voice.finish()

    def _serve(self, work: Coroutine[Any, Any, None]) -> None:
        """Do what the caller waits for, beside the session's own course."""
        task = self._work(work)
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    def _work(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name="desk")
        self._working.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._working.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("the desk's work failed", exc_info=error)
