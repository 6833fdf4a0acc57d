"""Whisper as LiveKit hears it: one utterance in, one text out, nothing that nobody said."""

import numpy as np
from aurion import errors
from livekit import rtc
from livekit.agents import APIConnectionError, APIConnectOptions, APIStatusError, stt, utils
from livekit.agents.types import NOT_GIVEN, NotGivenOr
from livekit.agents.utils import AudioBuffer

from agent_container.speech import hallucinations, sounds
from agent_container.speech.client import LISTENING_RATE, SpeechClient

_SHORTEST_S = 0.15


class WhisperSTT(stt.STT):
    """Recognise with the speech server; `language` None means detect among `languages` each time.

    The alternative's `metadata` has `no_speech`; an invented text comes back empty, as silence
    does.
    """

    def __init__(
        self,
        client: SpeechClient,
        *,
        language: str | None = None,
        languages: tuple[str, ...] = (),
        prompt: str | None = None,
    ) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=False, interim_results=False))
        self._client = client
        self.language = language
        self.languages = languages
        self.prompt = prompt

    @property
    def model(self) -> str:
        """Name the model for the metrics."""
        return "whisper-base"

    @property
    def provider(self) -> str:
        """Name the provider for the metrics."""
        return "speech-server"

    async def _recognize_impl(
        self,
        buffer: AudioBuffer,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions,
    ) -> stt.SpeechEvent:
        pcm = samples(buffer)
        asked = language[:2] if utils.is_given(language) and language else self.language
        request_id = utils.shortuuid()
        if len(pcm) < _SHORTEST_S * LISTENING_RATE:
            return _event(request_id, asked or "", "", 0.0, 1.0)
        try:
            heard = await self._client.transcribe(
                pcm,
                language=asked,
                languages=self.languages,
                prompt=self.prompt,
            )
        except errors.SpeechUnavailable as unavailable:
            raise APIConnectionError(str(unavailable)) from None
        except errors.SpeechRejected as rejected:
            raise APIStatusError(str(rejected), status_code=422, retryable=False) from None
        text = "" if hallucinations.is_invented(heard) else heard.text
        return _event(request_id, heard.language, text, heard.confidence, heard.no_speech)


def samples(buffer: AudioBuffer) -> np.ndarray:
    """Return a buffer's sound as the recogniser wants it: int16, 16 kHz, mono."""
    frame = rtc.combine_audio_frames(buffer)
    pcm = np.frombuffer(frame.data, np.int16)
    if frame.num_channels > 1:
        pcm = pcm.reshape(-1, frame.num_channels).mean(axis=1).astype(np.int16)
    return sounds.resample(pcm, frame.sample_rate, LISTENING_RATE)


def _event(
    request_id: str, language: str, text: str, confidence: float, no_speech: float
) -> stt.SpeechEvent:
    data = stt.SpeechData(
        language=language,  # pyright: ignore[reportArgumentType]  # it turns text into a code
        text=text,
        confidence=confidence,
        metadata={"no_speech": no_speech},
    )
    return stt.SpeechEvent(
        type=stt.SpeechEventType.FINAL_TRANSCRIPT, request_id=request_id, alternatives=[data]
    )
