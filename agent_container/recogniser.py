"""Which recogniser hears the caller: our own while they say a badge, the provider's later."""

import logging

from aurion.errors import SpeechRejected, SpeechUnavailable
from livekit import rtc
from livekit.agents import APIConnectOptions, APIError

from agent_container.call_state import CallState
from agent_container.providers import Providers
from agent_container.speech import hallucinations
from agent_container.speech.client import Heard, SpeechClient
from agent_container.speech.stt import samples

logger = logging.getLogger(__name__)

_NOTHING = Heard(text="", language="", confidence=0.0, no_speech=1.0)
_OPTIONS = APIConnectOptions(max_retry=1, retry_interval=0.2, timeout=6.0)


class Recogniser:
    """Turn one call's utterances into text."""

    def __init__(self, state: CallState, speech: SpeechClient, providers: Providers) -> None:
        self._state = state
        self._speech = speech
        self._providers = providers

    async def locally(self, sound: rtc.AudioFrame) -> Heard | None:
        """Recognise on our own machine, whatever else is configured; None when that fails."""
        state = self._state
        try:
            heard = await self._speech.transcribe(
                samples([sound]),
                language=state.language if state.language_fixed else None,
                languages=tuple(state.tenant.languages),
            )
        except (SpeechUnavailable, SpeechRejected):
            logger.warning("an utterance was not recognised", extra={"call": str(state.call_id)})
            return None
        return _NOTHING if hallucinations.is_invented(heard) else heard

    async def by_provider(self, sound: rtc.AudioFrame) -> Heard | None:
        """Recognise with the configured provider; None when that fails."""
        state = self._state
        recogniser = self._providers.recogniser(state.language)
        try:
            event = await recogniser.recognize(sound, conn_options=_OPTIONS)
        except APIError:
            logger.warning("an utterance was not recognised", extra={"call": str(state.call_id)})
            return None
        if not event.alternatives:
            return _NOTHING
        best = event.alternatives[0]
        return Heard(
            text=best.text, language=state.language, confidence=best.confidence, no_speech=0.0
        )
