"""The offline voices as LiveKit hears them: speaking starts while the reply is being written."""

import asyncio
from collections.abc import AsyncGenerator

from aurion import errors
from livekit.agents import APIConnectionError, APIConnectOptions, APIStatusError, tts, utils
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS

from agent_container.speech import clauses, sounds
from agent_container.speech.client import SPEAKING_RATE, SpeechClient

# How much of an unfinished sentence must be there before its first clause is spoken alone. The slow
# voice waits for more: a whole sentence may be ready-made, its first clause is not.
_FIRST_CLAUSE = {"en": 24}
_FIRST_CLAUSE_ELSE = 90


class DeskTTS(tts.TTS):
    """Speak with the speech server, 24 kHz; `language` may be changed between two replies."""

    def __init__(self, client: SpeechClient, *, language: str) -> None:
        super().__init__(
            capabilities=tts.TTSCapabilities(streaming=True),
            sample_rate=SPEAKING_RATE,
            num_channels=1,
        )
        self.client = client
        self.language = language

    @property
    def model(self) -> str:
        """Name the voice's language for the metrics."""
        return f"offline-{self.language}"

    @property
    def provider(self) -> str:
        """Name the provider for the metrics."""
        return "speech-server"

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.ChunkedStream:
        """Speak a whole text."""
        return self._synthesize_with_stream(text, conn_options=conn_options)

    def stream(
        self, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.SynthesizeStream:
        """Speak a text that is still being written."""
        return _Speaking(self, conn_options)


class _Speaking(tts.SynthesizeStream):
    """Cut what has been written into parts; render a part while the one before plays."""

    def __init__(self, voice: DeskTTS, conn_options: APIConnectOptions) -> None:
        super().__init__(tts=voice, conn_options=conn_options)
        self._voice = voice
        self._language = voice.language

    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        output_emitter.initialize(
            request_id=utils.shortuuid(),
            sample_rate=SPEAKING_RATE,
            num_channels=1,
            mime_type="audio/pcm",
            stream=True,
        )
        output_emitter.start_segment(segment_id=utils.shortuuid())
        parts: asyncio.Queue[str | None] = asyncio.Queue()
        cutting = asyncio.create_task(self._cut(parts), name="cut speech")
        spoken = False
        try:
            while (part := await parts.get()) is not None:
                self._mark_started()
                async for pcm in self._say(part):
                    output_emitter.push(pcm)
                    spoken = True
                output_emitter.flush()
            if not spoken:
                # "..." has no sound, and a reply without any would be an error that quotes it
                output_emitter.push(sounds.silence(20).tobytes())
        finally:
            await utils.aio.cancel_and_wait(cutting)
        output_emitter.end_segment()

    async def _cut(self, parts: asyncio.Queue[str | None]) -> None:
        cutter = clauses.Cutter(_FIRST_CLAUSE.get(self._language, _FIRST_CLAUSE_ELSE))
        async for data in self._input_ch:
            written = "" if isinstance(data, self._FlushSentinel) else data
            for part in cutter.feed(written) if written else cutter.flush():
                parts.put_nowait(part)
        for part in cutter.flush():
            parts.put_nowait(part)
        parts.put_nowait(None)

    async def _say(self, part: str) -> AsyncGenerator[bytes]:
        try:
            async for pcm in self._voice.client.synthesize(part, language=self._language):
                yield pcm.tobytes()
        except errors.SpeechUnavailable as unavailable:
            raise APIConnectionError(str(unavailable)) from None
        except errors.SpeechRejected as rejected:
            raise APIStatusError(str(rejected), status_code=422, retryable=False) from None
