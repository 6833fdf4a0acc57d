"""The session a call runs in: how it takes turns, how it speaks, what it remembers."""

import asyncio
import contextlib

from aurion import turns
from livekit.agents import AgentSession, llm
from livekit.agents.types import NOT_GIVEN, APIConnectOptions
from livekit.agents.voice import SpeechHandle
from livekit.agents.voice.agent_session import SessionConnectOptions

from agent_container.call_state import CallState
from agent_container.hearing import voice_detector
from agent_container.providers import Providers, Voices


class SessionVoice:
    """Say fixed sentences in a session."""

    def __init__(
        self, session: AgentSession[None], state: CallState, voices: Voices | None
    ) -> None:
        self._session = session
        self._state = state
        self._voices = voices
        self._said: set[SpeechHandle] = set()

    def say(self, text: str) -> None:
        """Say a text after what is being said now; its sound is made meanwhile."""
        voices = self._voices
        audio = NOT_GIVEN if voices is None else voices.speak(text, self._state.language)
        with contextlib.suppress(RuntimeError):  # the session is closing: nobody listens
            handle = self._session.say(text, audio=audio)
            self._said.add(handle)
            handle.add_done_callback(self._said.discard)

    async def finish(self) -> None:
        """Wait until everything has been said."""
        while self._said:
            await next(iter(self._said)).wait_for_playout()
            await asyncio.sleep(0)  # let the handle's callbacks run


def make_session(state: CallState, providers: Providers, *, audible: bool) -> AgentSession[None]:
    """Make a call's session; without sound it has neither recogniser nor voice."""
    impatient = APIConnectOptions(max_retry=1, retry_interval=0.3, timeout=8.0)
    return AgentSession(
        # The recogniser stands here so that the session runs our `stt_node`; that one asks it.
        stt=providers.recogniser(state.language) if audible else NOT_GIVEN,
        vad=voice_detector(end_of_speech_s=0.25) if audible else None,
        tts=providers.voice(state.language) if audible else NOT_GIVEN,
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


def history(said: list[turns.Turn]) -> llm.ChatContext:
    """Rebuild what a model knew of a call from the turns that were committed."""
    known = llm.ChatContext.empty()
    for turn in said:
        if turn.text.startswith("[redacted"):
            continue
        known.add_message(
            role="user" if turn.speaker == "caller" else "assistant",
            content=turn.text,
            created_at=turn.said_at.timestamp(),
        )
    return known
