"""An utterance is cut in its pauses, never into parts too short to be understood."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_container.badge_capture import cut_at_pauses

RATE = 16_000


def tone(seconds: float) -> np.ndarray:
    at = np.arange(int(seconds * RATE)) / RATE
    return (8000 * np.sin(2 * np.pi * 300 * at)).astype(np.int16)


def hiss(seconds: float) -> np.ndarray:
    return np.random.default_rng(1).normal(0, 30, int(seconds * RATE)).astype(np.int16)


def seconds(parts: list[np.ndarray]) -> list[float]:
    return [len(part) / RATE for part in parts]


def test_a_pause_separates_two_parts() -> None:
    pcm = np.concatenate([tone(1.0), hiss(0.4), tone(1.0)])
    assert seconds(cut_at_pauses(pcm)) == pytest.approx([1.2, 1.2], abs=0.05)


def test_a_short_gap_separates_nothing() -> None:
    pcm = np.concatenate([tone(1.0), hiss(0.1), tone(1.0)])
    assert len(cut_at_pauses(pcm)) == 1


def test_digits_one_by_one_stay_together_until_they_are_long_enough() -> None:
    pcm = np.concatenate([part for _ in range(6) for part in (tone(0.25), hiss(0.3))])
    parts = cut_at_pauses(pcm)
    assert len(parts) > 1
    assert min(seconds(parts)) >= 0.8


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(0.05, 1.5), st.floats(0.0, 0.6)), max_size=8))
def test_nothing_is_lost_or_said_twice(said: list[tuple[float, float]]) -> None:
    pieces = [part for loud, quiet in said for part in (tone(loud), hiss(quiet))]
    pcm = np.concatenate([*pieces, np.zeros(0, np.int16)])
    parts = cut_at_pauses(pcm)
    assert np.array_equal(np.concatenate(parts), pcm)
    assert len(parts) == 1 or min(seconds(parts)) >= 0.8


def test_silence_and_nothing_are_one_part() -> None:
    assert len(cut_at_pauses(np.zeros(0, np.int16))) == 1
    assert len(cut_at_pauses(hiss(2.0))) == 1
