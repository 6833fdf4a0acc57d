"""Which models think, hear and speak for a call, by what the environment has keys for."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

import httpx2
from aurion import tls
from livekit import rtc
from livekit.agents import APIError, llm, stt, tts, utils

from agent_container.config import Config
from agent_container.engine import EngineLLM
from agent_container.speech.client import SpeechClient
from agent_container.speech.stt import WhisperSTT
from agent_container.speech.tts import DeskTTS

logger = logging.getLogger(__name__)

# A model that has not begun to answer by then has lost the caller; the next one is asked.
_ATTEMPT_S = 4.0


class Voices:
    """Hold one voice per language, made at its first use."""

    def __init__(self, make: Callable[[str], tts.TTS]) -> None:
        self._make = make
        self._made: dict[str, tts.TTS] = {}
        self._rendering: set[asyncio.Task[None]] = set()

    def of(self, language: str) -> tts.TTS:
        """Return the voice of a language."""
        if language not in self._made:
            self._made[language] = self._make(language)
        return self._made[language]

    def speak(self, text: str, language: str) -> AsyncGenerator[rtc.AudioFrame]:
        """Begin to speak a text now, to be heard later: sentences then follow without a gap."""
        frames: asyncio.Queue[rtc.AudioFrame | None] = asyncio.Queue()
        rendering = asyncio.create_task(self._render(text, language, frames), name="voice")
        self._rendering.add(rendering)
        rendering.add_done_callback(self._rendering.discard)
        return _drain(frames, rendering)

    async def aclose(self) -> None:
        """Let go of the voices."""
        await utils.aio.cancel_and_wait(*self._rendering)
        for voice in self._made.values():
            await voice.aclose()

    async def _render(
        self, text: str, language: str, frames: asyncio.Queue[rtc.AudioFrame | None]
    ) -> None:
        try:
            async with self.of(language).stream() as stream:
                stream.push_text(text)
                stream.end_input()
                async for spoken in stream:
                    frames.put_nowait(spoken.frame)
        except APIError:
            logger.warning("a sentence could not be spoken")
        finally:
            frames.put_nowait(None)


async def _drain(
    frames: asyncio.Queue[rtc.AudioFrame | None], rendering: asyncio.Task[None]
) -> AsyncGenerator[rtc.AudioFrame]:
    try:
        while (frame := await frames.get()) is not None:
            yield frame
    finally:
        rendering.cancel()


@dataclass(frozen=True, slots=True)
class Providers:
    """Make what one call needs: a language model, a recogniser and voices, by language.

    `language_model` gets the language and the company's name; `recogniser` the language.
    """

    language_model: Callable[[str, str], llm.LLM]
    recogniser: Callable[[str], stt.STT]
    voice: Callable[[str], tts.TTS]


def from_config(config: Config, speech: SpeechClient) -> Providers:
    """Choose the providers: the dialogue engine, and in front of it whatever has a key."""
    paid = paid_models(config)

    def language_model(language: str, company: str) -> llm.LLM:
        engine = EngineLLM(speech, language=language, company=company)
        if not paid:
            return engine
        models = [*(make() for make in paid), engine]
        return llm.FallbackAdapter(models, attempt_timeout=_ATTEMPT_S, sticky=True)

    return Providers(
        language_model=language_model,
        recogniser=lambda language: WhisperSTT(speech, language=language),
        voice=lambda language: DeskTTS(speech, language=language),
    )


def paid_models(config: Config) -> list[Callable[[], llm.LLM]]:
    """Load the models that have a key, in order; each function makes one for a call.

    Their vendors' packages take seconds of the processor to import: nobody else pays for them.
    """
    models: list[Callable[[], llm.LLM]] = []
    if config.anthropic_api_key is not None:
        models.append(_claude(config, config.anthropic_api_key))
    if config.llm_api_key is not None or config.llm_base_url is not None:
        models.append(_openai(config))
    return models


def _claude(config: Config, api_key: str) -> Callable[[], llm.LLM]:
    import anthropic as vendor
    from livekit.plugins import anthropic

    def make() -> llm.LLM:
        client = vendor.AsyncClient(
            api_key=api_key,
            base_url=config.anthropic_base_url,
            max_retries=0,
            http_client=_http_client(),
        )
        return anthropic.LLM(
            model=config.anthropic_model,
            api_key=api_key,
            client=client,
            max_tokens=400,
            caching="ephemeral",
            parallel_tool_calls=False,
        )

    return make


def _openai(config: Config) -> Callable[[], llm.LLM]:
    import openai as vendor
    from livekit.plugins import openai

    def make() -> llm.LLM:
        client = vendor.AsyncClient(
            # A server of one's own may want none, and the client insists on something.
            api_key=config.llm_api_key or "none",
            base_url=config.llm_base_url,
            max_retries=0,
            http_client=_http_client(),
        )
        return openai.LLM(
            model=config.llm_model,
            client=client,
            store=False,
            max_completion_tokens=400,
            parallel_tool_calls=False,
        )

    return make


def _http_client() -> httpx2.AsyncClient:
    return httpx2.AsyncClient(
        verify=tls.outbound_context(),
        timeout=httpx2.Timeout(10.0, connect=3.0),
        # A redirect could take the conversation to a host that nobody has agreed to.
        follow_redirects=False,
        trust_env=False,
    )
