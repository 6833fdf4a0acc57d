"""The engine understands callers, does what was asked, and never what was not."""

from typing import Any

import pytest

from agent_container.engine import intents
from agent_container.folding import fold
from tests.evals.cases import desk, dialogues, utterances
from tests.evals.evaluation import (
    LANGUAGES,
    LocalEncoder,
    Score,
    score_actions,
    score_intents,
)
from tests.evals.text_calls import SmallDesk, TextCall, tickets


@pytest.fixture(scope="module")
def encoder() -> LocalEncoder:
    return LocalEncoder()


def test_evaluation_set_is_large_and_apart_from_the_examples() -> None:
    said = {language: [case.text for case in utterances(language)] for language in LANGUAGES}
    assert sum(map(len, said.values())) >= 160
    assert len(said["fr"]) >= 70
    assert len(dialogues()) >= 25
    trained = {fold(sentence) for _, sentence in intents.examples()}
    assert [text for texts in said.values() for text in texts if fold(text) in trained] == []


@pytest.mark.parametrize("language", LANGUAGES)
async def test_callers_are_understood(encoder: LocalEncoder, language: str) -> None:
    score = await score_intents(encoder, language)
    assert score.accuracy >= 0.93, score.missed
    assert score.refusal >= 0.9, score.missed


@pytest.mark.parametrize("language", LANGUAGES)
async def test_nothing_is_done_that_nobody_asked_for(encoder: LocalEncoder, language: str) -> None:
    score = await score_actions(encoder, language, Score(language))
    assert score.wrong == []
    assert score.acted / score.wanted >= 0.9


@pytest.mark.parametrize("dialogue", dialogues(), ids=lambda dialogue: dialogue["name"])
async def test_call_goes_as_it_should(encoder: LocalEncoder, dialogue: dict[str, Any]) -> None:
    async with TextCall(encoder, desk(dialogue.get("desk", {}))) as call:
        for expected in dialogue["turns"]:
            turn = await call.say(expected["say"])
            assert turn.tools == expected.get("calls", []), (expected["say"], turn)
            assert turn.done == expected.get("done", []), (expected["say"], turn)
            for part in expected.get("hears", []):
                assert part in turn.said, (expected["say"], turn)


@pytest.mark.parametrize("words_only", [False, True], ids=["whole history", "words only"])
async def test_another_process_goes_on_with_the_steps(
    encoder: LocalEncoder, words_only: bool
) -> None:
    async with TextCall(encoder, SmallDesk()) as call:
        await call.say("my vpn keeps disconnecting")
        await call.say("no that did not help")
        await call.hand_over(words_only=words_only)
        turn = await call.say("still the same")
        assert "choose another server" in turn.said
        await call.hand_over(words_only=words_only)
        turn = await call.say("open a ticket please")
        assert turn.done == ["open_ticket"] or turn.tools == ["open_ticket"]


async def test_another_process_knows_the_ticket_spoken_of(encoder: LocalEncoder) -> None:
    own = tickets(
        ("T-1024", "New laptop", "in_progress", "It arrives on Thursday."),
        ("T-1042", "Second monitor", "waiting", ""),
    )
    async with TextCall(encoder, SmallDesk(tickets=own)) as call:
        await call.say("what is the status of my laptop order")
        await call.hand_over(words_only=True)
        turn = await call.say("can you add that I need it before Friday?")
        assert call.desk.comments == [("T-1024", "I need it before Friday")], turn


async def test_ticket_tells_what_was_tried(encoder: LocalEncoder) -> None:
    async with TextCall(encoder, SmallDesk()) as call:
        await call.say("my vpn keeps disconnecting since this morning")
        await call.say("i already restarted the laptop but it did not help")
        await call.say("yes please open a ticket")
        (ticket,) = call.desk.opened
        assert ticket["summary"] == "Vpn keeps disconnecting since this morning"
        assert "Restart your laptop" in ticket["description"]
        assert "i already restarted the laptop" in ticket["description"]


async def test_only_offered_tools_are_called(encoder: LocalEncoder) -> None:
    everything = frozenset(
        {"request_callback", "transfer_to_person", "end_call", "search_knowledge", "known_outages"}
    )
    async with TextCall(encoder, SmallDesk(level=0, absent=everything)) as call:
        for text in (
            "my vpn keeps disconnecting",
            "I want to talk to a person",
            "can somebody call me back",
            "open a ticket",
            "what is the status of my ticket",
            "is there an outage",
            "no that is all goodbye",
        ):
            turn = await call.say(text)
            assert turn.calls == []
            assert turn.said


async def test_same_call_is_answered_the_same_way(encoder: LocalEncoder) -> None:
    said: list[list[str]] = []
    for _ in range(2):
        async with TextCall(encoder, SmallDesk()) as call:
            said.append(
                [
                    (await call.say(text)).said
                    for text in ("hello", "my wifi is slow", "no", "what now", "thanks", "bye")
                ]
            )
    assert said[0] == said[1]
