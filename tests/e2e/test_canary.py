"""A badge said and said again is nowhere afterwards, and nothing else was taken out.

That the search finds what there is to find is held by `tests/integration/local/test_scan.py`, which
plants a leak in each of these sinks.
"""

import pytest

from tests import canaries
from tests.sound_calls import SoundCalls
from tests.stack_calls import Phone

SINKS = {
    "database", "database files", "database log", "objects", "queues", "secrets", "logs",
    "demo desk", "state files", "temporary files", "processes", "what providers were sent",
}  # fmt: skip


def test_badges_are_in_no_sink(sound_calls: SoundCalls) -> None:
    searched = sound_calls.canaries.scan
    assert searched["hits"] == []
    empty = {sink for sink in SINKS if not searched["sinks"].get(sink, {}).get("bytes")}
    assert not empty


def test_the_provider_was_sent_the_sentences_without_the_badge(sound_calls: SoundCalls) -> None:
    sent = "\n".join(sound_calls.canaries.bodies)
    assert "VPN" in sent
    assert "does not open the door" in sent or "doesn't open the door" in sent
    assert "[redacted: badge]" in sent
    for form in ("471129", "four seven", "4 7 1", "Martin"):
        assert form not in sent


@pytest.mark.parametrize("keyed", [False, True], ids=["spoken, engine", "keyed, Claude"])
def test_recording_is_silent_where_a_badge_was_and_whole_elsewhere(
    phone: Phone, sound_calls: SoundCalls, keyed: bool
) -> None:
    call = next(call for call in sound_calls.canaries.calls if call.keyed is keyed)
    assert canaries.faults(phone, call) == []
