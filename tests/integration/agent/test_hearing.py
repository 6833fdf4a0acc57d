"""Hearing, with a caller's real voice: where utterances begin and end, and what becomes of them."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from pathlib import Path

import numpy as np
import pytest
from aurion import calls, database
from livekit import rtc

from agent_container.call_state import CallState
from agent_container.guarded_hearing import GuardedEars
from agent_container.hearing import Ears
from agent_container.speech.client import Heard
from local.caller import read_audio
from tests.typed_calls import Company

CALLERS = Path(__file__).parents[3] / "local" / "callers"
RATE = 16_000


class Tape:
    """A recording's steering wheel that remembers how it was turned."""

    def __init__(self) -> None:
        self.turned: list[str] = []

    def hold(self) -> None:
        self.turned.append("hold")

    def release(self, until: float, *, after_s: float = 0.0) -> None:
        self.turned.append("release")

    def silence(self, start: float, end: float) -> None:
        assert start < end
        self.turned.append("silence")

    def secure(self) -> None:
        self.turned.append("secure")

    def open(self) -> None:
        self.turned.append("open")

    def stop_caller(self) -> None:
        self.turned.append("stop")


async def frames_of(parts: Iterable[np.ndarray]) -> AsyncGenerator[rtc.AudioFrame]:
    noise = np.random.default_rng(7).integers(-12, 12, RATE, dtype=np.int16)
    for part in parts:
        for at in range(0, len(part) - 320, 320):
            frame = part[at : at + 320] + noise[:320]
            yield rtc.AudioFrame(frame.astype(np.int16).tobytes(), RATE, 1, 320)
            await asyncio.sleep(0)


def pause(seconds: float) -> np.ndarray:
    return np.zeros(int(seconds * RATE), dtype=np.int16)


def voice(name: str) -> np.ndarray:
    return read_audio(CALLERS / "alice" / name)


class Script:
    """A recogniser that gives the next text of a list, whatever it hears."""

    def __init__(self, texts: Iterable[str | None]) -> None:
        self.texts = list(texts)
        self.given: dict[int, str | None] = {}
        self.asked = 0
        self.began = 0

    def begin(self) -> None:
        self.began += 1

    async def hear(self, sound: rtc.AudioFrame) -> Heard | None:
        self.asked += 1
        text = self.texts[min(self.began, len(self.texts)) - 1]
        return None if text is None else Heard(text, "en", 0.9, 0.0)


async def test_a_sentence_is_one_utterance_and_is_recognised_before_it_is_surely_over() -> None:
    script = Script(["one", "two"])
    ears = Ears(script.hear, began=script.begin)
    ears.start()
    parts = [pause(0.5), voice("03.wav"), pause(1.2), voice("05.wav"), pause(1.2)]
    await ears.feed(frames_of(parts))
    async with asyncio.timeout(20):
        heard = [await ears.next(), await ears.next()]
    assert [utterance.heard and utterance.heard.text for utterance in heard] == ["one", "two"]
    assert all(utterance.started_at < utterance.ended_at for utterance in heard)
    assert script.began == 2
    assert not ears.busy
    sound = heard[0].sound
    assert sound is not None
    assert sound.duration > len(voice("03.wav")) / RATE * 0.6
    await ears.aclose()


async def test_an_utterance_survives_the_hand_over_from_one_agent_to_the_next() -> None:
    answer = asyncio.Event()

    async def slowly(sound: rtc.AudioFrame) -> Heard | None:
        await answer.wait()
        return Heard("still here", "en", 0.9, 0.0)

    ears = Ears(slowly, began=lambda: None)
    ears.start()
    await ears.feed(frames_of([voice("03.wav"), pause(1.2)]))
    first = asyncio.create_task(ears.next())
    await asyncio.sleep(0.3)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    answer.set()
    async with asyncio.timeout(10):
        heard = (await ears.next()).heard
    assert heard is not None
    assert heard.text == "still here"
    await ears.aclose()


@pytest.mark.parametrize(
    ("texts", "expected", "turned"),
    [
        (["My screen is black."], ["My screen is black."], ["release"]),
        (["my badge 471129 is broken"], ["my badge [redacted: badge] is broken"], ["silence"]),
        (["four seven one", "one two nine"], None, ["silence", "silence"]),
        (["it is four seven one", "thank you"], None, ["release", "release"]),
        ([None, "Hello again."], ["Hello again."], ["silence", "release"]),
        (["", "Hello again."], ["Hello again."], ["release", "release"]),
    ],
)
async def test_every_sentence_is_judged_and_its_sound_with_it(
    company: Company, texts: list[str | None], expected: list[str] | None, turned: list[str]
) -> None:
    with database.tenant_transaction(company.tenant.tenant_id) as conn:
        claimed = calls.claim(conn, call_id=company.start_call().id)
    state = CallState(company.tenant, claimed, claimed.epoch, company.connector())
    tape = Tape()
    script = Script(texts)

    def began() -> None:
        script.begin()
        tape.hold()

    ears = Ears(script.hear, began=began)
    ears.start()
    parts = [part for _ in texts for part in (pause(0.6), voice("05.wav"), pause(1.0))]
    await ears.feed(frames_of(parts))
    heard: list[str] = []

    async def listen() -> None:
        async for sentence in GuardedEars(state, ears, tape).sentences():
            heard.append(sentence.text)

    listening = asyncio.create_task(listen())
    async with asyncio.timeout(20):
        while [turn for turn in tape.turned if turn != "hold"] != turned:
            await asyncio.sleep(0.02)
    await asyncio.sleep(0.1)
    listening.cancel()
    await ears.aclose()
    if expected is not None:
        assert heard == expected
    assert tape.turned.count("hold") == len(texts)
    said = " ".join(heard)
    assert "471129" not in said
    assert "one two nine" not in said
