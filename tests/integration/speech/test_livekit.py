"""The speech server behind LiveKit's own interfaces."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
from livekit import rtc
from livekit.agents import APIConnectionError, APIConnectOptions, APIStatusError

from agent_container.speech import sounds
from agent_container.speech.client import SpeechClient
from agent_container.speech.stt import WhisperSTT
from agent_container.speech.tts import DeskTTS
from tests import voices
from tests.speech_fixtures import PATIENCE_S

BEGINNING = "I can open a ticket for you right now, or I can try "
ONCE = APIConnectOptions(max_retry=0, timeout=5.0)


def frame(pcm: np.ndarray, rate: int, channels: int = 1) -> rtc.AudioFrame:
    wide = np.repeat(pcm, channels)
    return rtc.AudioFrame(wide.tobytes(), rate, channels, len(pcm))


@pytest.mark.parametrize(("rate", "channels"), [(8_000, 1), (16_000, 1), (48_000, 2)])
async def test_any_kind_of_frame_is_understood(
    speech: SpeechClient, rate: int, channels: int
) -> None:
    line = voices.say("What is the status of my laptop order?")
    pcm = sounds.resample(line, voices.LINE_RATE, rate)
    event = await WhisperSTT(speech, language="en").recognize(frame(pcm, rate, channels))
    alternative = event.alternatives[0]
    assert alternative.text == "What is the status of my laptop order?"
    assert alternative.language == "en"
    assert alternative.confidence > 0.8
    assert alternative.metadata is not None
    assert alternative.metadata["no_speech"] < 0.3


async def test_the_first_utterance_tells_the_language(speech: SpeechClient) -> None:
    recogniser = WhisperSTT(speech, languages=("en", "fr"))
    line = voices.say("Bonjour, je m'appelle Claire Dubois.", "fr")
    event = await recogniser.recognize(frame(line, voices.LINE_RATE))
    assert event.alternatives[0].language == "fr"
    assert "Claire" in event.alternatives[0].text


@pytest.mark.parametrize("seconds", [0.05, 1.5])
async def test_noise_is_no_utterance(speech: SpeechClient, seconds: float) -> None:
    recogniser = WhisperSTT(speech, language="en")
    event = await recogniser.recognize(frame(voices.noise(seconds), voices.LINE_RATE))
    assert event.alternatives[0].text == ""


async def test_a_reply_is_spoken_while_it_is_written(speech: SpeechClient) -> None:
    async with DeskTTS(speech, language="en").stream() as stream:
        for word in BEGINNING.split(" "):
            stream.push_text(word + " ")
        first = await asyncio.wait_for(anext(stream), PATIENCE_S)
        assert first.frame.sample_rate == 24_000
        stream.push_text("to find a person. What do you prefer?")
        stream.end_input()
        rest = [event.frame async for event in stream]
    pcm = np.concatenate([np.frombuffer(part.data, np.int16) for part in (first.frame, *rest)])
    heard = await speech.transcribe(sounds.resample(pcm, 24_000, 16_000), language="en")
    assert heard.text.lower().startswith("i can open a ticket for you right now")
    assert "find a person" in heard.text.lower()
    most = "I can open a ticket for you right now, or I can try to find a person."
    whole = [len(part) async for part in speech.synthesize(most, language="en")]
    assert len(pcm) > sum(whole) + 24_000 * 0.8


@pytest.mark.parametrize("language", ["en", "fr", "nl", "de"])
async def test_every_language_has_a_voice(speech: SpeechClient, language: str) -> None:
    async with DeskTTS(speech, language=language).synthesize("Hello, 14:30, T-1042.") as stream:
        spoken = await stream.collect()
    assert spoken.duration > 1.5
    assert np.abs(np.frombuffer(spoken.data, np.int16).astype(np.int32)).max() > 3000


@pytest.mark.parametrize("text", ["...", "?", "—"])
async def test_a_text_without_a_sound_is_no_error(speech: SpeechClient, text: str) -> None:
    async with DeskTTS(speech, language="en").synthesize(text, conn_options=ONCE) as stream:
        assert (await stream.collect()).duration < 0.1


async def test_a_missing_server_is_an_error_that_livekit_can_retry(tmp_path: Path) -> None:
    client = SpeechClient(tmp_path / "nobody.sock")
    line = frame(voices.say("Hello there."), voices.LINE_RATE)
    with pytest.raises(APIConnectionError):
        await WhisperSTT(client, language="en").recognize(line, conn_options=ONCE)
    async with DeskTTS(client, language="en").stream(conn_options=ONCE) as stream:
        stream.push_text("Hello there.")
        stream.end_input()
        with pytest.raises(APIConnectionError):
            await anext(stream)


async def test_a_language_without_a_voice_is_not_retried(speech: SpeechClient) -> None:
    async with DeskTTS(speech, language="es").stream() as stream:
        stream.push_text("Hola.")
        stream.end_input()
        with pytest.raises(APIStatusError) as refused:
            await anext(stream)
    assert not refused.value.retryable
