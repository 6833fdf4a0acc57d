"""Badges are heard by the real recogniser, from people's voices over a telephone line."""

from pathlib import Path

import numpy as np
import pytest
from aurion.badges import BadgeFormat, read_format

from agent_container.badge_capture import capture
from agent_container.speech import sounds
from agent_container.speech.client import SpeechClient
from local.caller import read_audio
from tests import voices
from tests.evals import badge_capture as evaluation

CALLERS = Path(__file__).parents[3] / "local" / "callers"
SIX = read_format("[0-9]{6}")


def heard_by_phone(file: str) -> np.ndarray:
    return read_audio(CALLERS / file)


@pytest.mark.parametrize(
    ("file", "language", "badge"),
    [
        ("alice/02.wav", "en", "471129"),
        ("tom/02.wav", "en", "803556"),
        ("claire/02.wav", "fr", "290416"),
    ],
)
async def test_the_recorded_callers_badges_are_heard(
    speech: SpeechClient, file: str, language: str, badge: str
) -> None:
    found = await capture(speech, heard_by_phone(file), language=language, badge_format=SIX)
    assert badge in found


async def test_letters_are_heard(speech: SpeechClient) -> None:
    said = voices.say("My badge is alpha, Charlie, seven, double four, nine.", "en")
    pcm = sounds.resample(said, voices.LINE_RATE, 16_000)
    found = await capture(speech, pcm, language="en", badge_format=read_format("[A-Z]{2}[0-9]{4}"))
    assert "AC7449" in found


@pytest.mark.parametrize("text", ["My VPN keeps disconnecting.", "It is four seven one one two."])
async def test_what_is_no_badge_is_no_attempt(speech: SpeechClient, text: str) -> None:
    pcm = sounds.resample(voices.say(text, "en"), voices.LINE_RATE, 16_000)
    assert await capture(speech, pcm, language="en", badge_format=SIX) == ()


async def test_another_format_gets_none_of_it(speech: SpeechClient) -> None:
    eight: BadgeFormat = read_format("[0-9]{8}")
    pcm = heard_by_phone("alice/02.wav")
    assert await capture(speech, pcm, language="en", badge_format=eight) == ()


async def test_a_synthetic_caller_is_verified_on_every_line(speech: SpeechClient) -> None:
    results = await evaluation.run(speech, evaluation.make_callers(1)[:1])
    assert len(results) == len(evaluation.CONDITIONS)
    assert [result.endings[-1] for result in results] == ["verified"] * len(results)
