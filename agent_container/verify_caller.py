"""Who is calling: a fixed course without a language model, before anything else may happen.

Nothing said here goes on but a person and a level: no text reaches the session's history, events,
logs or spans, the recording is mute, and the speech is recognised on our own machine. What a caller
says beside name and badge is kept for the desk once they are verified.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterable
from typing import Literal, override

from aurion import badges, callers, calls, database
from aurion.errors import Unavailable
from aurion.tenants import Language
from livekit import rtc
from livekit.agents import Agent, ModelSettings, StopResponse, llm, stt, utils
from livekit.agents.types import NOT_GIVEN
from livekit.agents.voice import SpeechHandle

from agent_container import config, control_words, greetings, introductions, phrases, recording
from agent_container.call_state import CallState
from agent_container.claims import Claim, Input, Keyed, Said
from agent_container.hearing import Ears, Utterance
from agent_container.keypad import Keypad
from agent_container.providers import Voices
from agent_container.recording import NoTape, Tape
from agent_container.speech.client import SpeechClient
from agent_container.turn_log import REDACTED_BADGE, REDACTED_NAME, TurnLog

logger = logging.getLogger(__name__)

type Ending = Literal["verified", "unverified", "person", "over"]

_PATIENCE_S = 0.8
_MOST_PROMPTS = 12


class VerifyCaller(Agent):
    """Greet, ask for name and badge, and have them checked; `ended` says how it went."""

    def __init__(
        self,
        state: CallState,
        *,
        log: TurnLog,
        speech: SpeechClient,
        ears: Ears,
        tape: Tape,
        voices: Voices | None,
        ready: asyncio.Event,
    ) -> None:
        super().__init__(
            instructions="",
            llm=None,
            turn_handling={
                "turn_detection": "manual",
                "preemptive_generation": {"enabled": False},
                "interruption": {"enabled": False, "discard_audio_if_uninterruptible": False},
            },
        )
        self._state = state
        self._log = log
        self._ears = ears
        self._tape = tape
        self._voices = voices
        self._ready = ready
        badge_format = badges.read_format(state.tenant.badge_format)
        self._inputs: asyncio.Queue[Input] = asyncio.Queue()
        self._keypad = Keypad(
            lambda keys: self._inputs.put_nowait(Keyed(keys, time.time())),
            longest=badge_format.longest,
        )
        self._utterances: list[str] = []
        self._claim = Claim(speech, badge_format)
        self._flow: asyncio.Task[None] | None = None
        self.ended: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()

    @override
    async def on_enter(self) -> None:
        self._ears.be_patient(_PATIENCE_S)
        self._flow = asyncio.create_task(self._run(), name="verify caller")
        self._flow.add_done_callback(self._settle)

    @override
    async def on_exit(self) -> None:
        if self._flow is not None:
            await utils.aio.cancel_and_wait(self._flow)
        self._claim.forget()
        self._keypad.forget()
        self._utterances.clear()
        self._ears.be_patient(config.END_OF_SPEECH_S)

    @override
    async def stt_node(  # pyright: ignore[reportIncompatibleMethodOverride] - an async generator
        self, audio: AsyncIterable[rtc.AudioFrame], model_settings: ModelSettings
    ):
        feeding = asyncio.create_task(self._ears.feed(audio))
        try:
            while True:
                self._take(await self._ears.next())
                if False:  # no text leaves this node; it only has to be a generator
                    yield stt.SpeechEvent(stt.SpeechEventType.FINAL_TRANSCRIPT)
        finally:
            await utils.aio.cancel_and_wait(feeding)

    @override
    async def on_user_turn_completed(
        self, turn_ctx: llm.ChatContext, new_message: llm.ChatMessage
    ) -> None:
        raise StopResponse

    async def typed(self, text: str) -> None:
        """Take a typed sentence."""
        language = introductions.language_of(text, self._state.tenant.languages)
        self._inputs.put_nowait(Said(text, language, None, time.time()))

    def pressed(self, key: str) -> None:
        """Take a key of the caller's phone."""
        self._keypad.press(key)

    def _take(self, utterance: Utterance) -> None:
        heard = utterance.heard
        if heard is not None and heard.text.strip():
            self._inputs.put_nowait(
                Said(
                    heard.text,
                    heard.language,
                    utterance.sound,
                    utterance.ended_at,
                    heard.confidence,
                )
            )

    def _settle(self, flow: asyncio.Task[None]) -> None:
        if self.ended.done():
            return
        if flow.cancelled():
            self.ended.set_result("over")
        elif (error := flow.exception()) is not None:
            self.ended.set_exception(error)

    async def _run(self) -> None:
        await self._ready.wait()
        self._state.events.state("greeting")
        await self._greet()
        tenant = self._state.tenant
        if not tenant.verification_enabled or tenant.verification_policy != "name_and_badge":
            self._state.verification = "skipped"
            await self._say("verify.unverified")
            self._end("unverified")
            return
        self._state.events.state("verifying")
        ending = await self._verify()
        if ending in ("verified", "unverified"):
            self._state.events.state(ending)
        self._end(ending)

    def _end(self, ending: Ending) -> None:
        if not self.ended.done():
            self.ended.set_result(ending)

    async def _greet(self) -> None:
        recorded = not isinstance(self._tape, NoTape)
        lines = greetings.lines(self._state.tenant, self._state.language, recorded=recorded)
        # Nobody may miss that this is an AI and that it records: it can't be talked over.
        handles = [self._start_saying(*line, interruptible=False) for line in lines]
        for line, handle in zip(lines, handles, strict=True):
            await handle
            self._note_said(*line)

    async def _verify(self) -> Ending:
        """Ask until the caller is verified or may not try again."""
        claim = self._claim
        question = "verify.ask_name"
        for _ in range(_MOST_PROMPTS):
            said = await self._ask(question)
            if said is None:
                await self._say("silence.goodbye")
                return "over"
            control = await self._note_and_obey(said)
            if control == "obeyed":
                continue
            if control is not None:
                return control
            await claim.take(said, self._state.language)
            if not claim.name:
                new = bool(claim.badges) or (isinstance(said, Said) and len(said.text.split()) > 5)
                question = "verify.ask_name" if new else "verify.ask_name_again"
                continue
            if not claim.badges:
                question = claim.badge_question(said)
                continue
            ending = await self._attempt(said.ended_at)
            if ending is not None:
                return ending
            claim.forget()
            question = "verify.ask_name"
        return await self._give_up()

    async def _give_up(self) -> Ending:
        self._state.verification = "failed"
        await self._say("verify.exhausted")
        return "unverified"

    async def _ask(self, question: str) -> Input | None:
        """Ask and wait for an answer, ask again when there is none; None after three silences."""
        for before in (None, "silence.first", "silence.second"):
            if before is not None:
                await self._say(before)
            if before != "silence.second":
                await self._say(question)
            said = await self._next_input(config.SILENCE_S)
            if said is not None:
                return said
        return None

    async def _next_input(self, timeout_s: float) -> Input | None:
        """Wait for the caller; the time runs only while they are neither speaking nor keying."""
        while True:
            with contextlib.suppress(TimeoutError):
                if self._state.call.channel == "text":
                    return await self._inputs.get()
                async with asyncio.timeout(timeout_s):
                    return await self._inputs.get()
            if not self._ears.busy and not self._keypad.busy:
                return None

    async def _note_and_obey(self, said: Input) -> Ending | Literal["obeyed"] | None:
        """Fix the language, write the turn down without its words, and do what can't wait."""
        state = self._state
        if isinstance(said, Keyed):
            await self._write(REDACTED_BADGE)
            return "person" if said.keys == "0" else None
        await self._fix_language(said)
        digits = introductions.says_digits(said.text, state.language)
        await self._write(REDACTED_BADGE if digits else REDACTED_NAME)
        languages = [state.language, *(x for x in state.tenant.languages if x != state.language)]
        match control_words.find(said.text, languages):
            case "person":
                return "person"
            case "silent":
                recorded = await recording.stop(state, self._tape)
                await self._say("recording.stopped" if recorded else "recording.none")
                return "obeyed"
            case "goodbye":
                await self._say("goodbye.short")
                return "over"
            case None:
                self._utterances.append(said.text)
                return None

    async def _attempt(self, ended_at: float, second: str | None = None) -> Ending | None:
        """Have the claim checked; None when the caller may try again."""
        state, claim = self._state, self._claim
        heard = await claim.names()
        try:
            checked = await asyncio.to_thread(
                callers.verify,
                state.tenant,
                call_id=state.call_id,
                calling_number=state.call.calling_number,
                heard=heard,
                badges=claim.badges,
                second_attribute=second,
            )
            if checked.outcome == "verified":
                await asyncio.to_thread(self._note_caller, checked)
        except Unavailable:  # the database or the key service, at any step
            return await self._unavailable()
        # The same wait for every answer: how long it took tells nothing.
        await asyncio.sleep(max(0.0, ended_at + callers.ANSWER_FLOOR_MS / 1000 - time.time()))
        state.stopped_speaking_at = ended_at
        match checked.outcome:
            case "verified":
                assert checked.person is not None
                state.person, state.level = checked.person, checked.level
                state.verification = "verified"
                reason = introductions.reason_for_call(
                    self._utterances,
                    person=checked.person.name,
                    language=state.language,
                    badge_format=self._claim.badge_format,
                )
                state.kept = [reason] if reason else []
                return "verified"
            case "second_attribute" if second is None:
                digits = await self._ask_second()
                return await self._give_up() if digits is None else await self._attempt(*digits)
            case "exhausted":
                return await self._give_up()
            case _:
                await self._say("verify.refused")
                return None

    async def _ask_second(self) -> tuple[float, str] | None:
        said = await self._ask("verify.ask_second")
        if said is None:
            return None
        await self._write(REDACTED_BADGE)
        text = said.keys if isinstance(said, Keyed) else said.text
        return said.ended_at, "".join(c for c in text if c.isdigit())[-2:]

    async def _unavailable(self) -> Ending:
        self._state.verification = "unavailable"
        await self._say("verify.unavailable")
        return "unverified"

    def _note_caller(self, checked: callers.Verification) -> None:
        state = self._state
        assert checked.person is not None
        with database.tenant_transaction(state.tenant_id) as conn:
            calls.set_caller(
                conn,
                call_id=state.call_id,
                epoch=state.epoch,
                person_id=checked.person.id,
                level=checked.level,
            )

    async def _fix_language(self, said: Said) -> None:
        """Hold the call in the language of the caller's first real sentence."""
        if self._state.language_fixed or said.language not in self._state.tenant.languages:
            return
        if len(said.text.split()) < 3 and not self._utterances:
            return  # a name alone has no language
        self._state.language_fixed = True
        language = phrases.known(said.language)
        assert language is not None
        self._state.language = language
        with contextlib.suppress(Unavailable):
            await asyncio.to_thread(self._note_language)

    def _note_language(self) -> None:
        state = self._state
        with database.tenant_transaction(state.tenant_id) as conn:
            calls.set_language(
                conn, call_id=state.call_id, epoch=state.epoch, language=state.language
            )

    async def _write(self, text: str) -> None:
        self._state.events.said("caller", text, time.time(), None)
        await self._log.caller(text, self._state.language)

    async def _say(self, key: str, **slots: str) -> None:
        """Say a phrase; an answer that comes meanwhile cuts it short."""
        language = self._state.language
        await self._speak(phrases.say(key, language, **slots), language, interruptible=True)

    async def _speak(self, text: str, language: Language, *, interruptible: bool) -> None:
        handle = self._start_saying(text, language, interruptible=interruptible)
        playing = asyncio.ensure_future(handle.wait_for_playout())
        while not playing.done():
            if interruptible and (not self._inputs.empty() or self._keypad.busy):
                handle.interrupt()
            await asyncio.wait([playing], timeout=0.1)
        self._note_said(text, language)

    def _start_saying(self, text: str, language: Language, *, interruptible: bool) -> SpeechHandle:
        voices = self._voices
        return self.session.say(
            text,
            audio=NOT_GIVEN if voices is None else voices.speak(text, language),
            add_to_chat_ctx=False,
            allow_interruptions=interruptible,
        )

    def _note_said(self, text: str, language: Language) -> None:
        reply_ms = self._state.take_reply_ms()
        self._state.events.said("agent", text, time.time(), reply_ms)
        self._log.agent(text, language, reply_ms)
