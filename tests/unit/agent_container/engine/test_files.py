"""The engine's files: the same answers, cues and intents in every language, and a fresh model."""

import re
import string
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from agent_container.engine import answers, cues, intents, regression
from agent_container.folding import fold
from tests.evals.evaluation import LocalEncoder

ENGINE = Path(str(files("agent_container.engine").joinpath("")))
SOURCE = "\n".join(file.read_text(encoding="utf-8") for file in ENGINE.rglob("*.py"))


def _slots(sentences: list[str]) -> set[str]:
    return {name for s in sentences for _, name, _, _ in string.Formatter().parse(s) if name}


@pytest.mark.parametrize("language", ["fr", "nl", "de"])
def test_every_language_answers_everything_with_the_same_slots(language: str) -> None:
    english, other = answers.in_language("en"), answers.in_language(language)
    for table in ("say", "questions"):
        ours, theirs = getattr(english, table), getattr(other, table)
        assert ours.keys() == theirs.keys()
        assert {key: _slots(ours[key]) for key in ours} == {k: _slots(theirs[k]) for k in theirs}
    assert english.written.keys() == other.written.keys()


@pytest.mark.parametrize("language", ["fr", "nl", "de"])
def test_every_language_has_the_same_cues(language: str) -> None:
    assert cues.in_language("en").patterns.keys() == cues.in_language(language).patterns.keys()


def test_every_answer_is_used() -> None:
    english = answers.in_language("en")
    keys = [*english.say, *english.questions, *english.written]
    unused = [key for key in keys if f'"{key}"' not in SOURCE and not key.startswith("status_")]
    assert unused == []


@pytest.mark.parametrize("language", answers.LANGUAGES)
def test_questions_are_recognised_in_what_was_said(language: str) -> None:
    table = answers.in_language(language)
    for key in table.questions:
        assert table.question_in(f"{table.spoken('glad')} {table.spoken(key)}") == key
    assert table.question_in(table.spoken("glad")) is None
    assert table.question_in(f"{table.spoken('helped')} {table.spoken('anything_else')}") == (
        "anything_else"
    )


@pytest.mark.parametrize("language", answers.LANGUAGES)
def test_what_varies_stands_in_a_sentence_of_its_own(language: str) -> None:
    table = answers.in_language(language)
    every = [
        s for group in (table.say, table.questions) for listed in group.values() for s in listed
    ]
    assert len(table.fixed()) >= 0.75 * len(set(every))
    for sentence in every:
        if "{" in sentence:
            assert len(re.findall(r"[.!?]", sentence)) <= 1, sentence


def test_every_language_has_examples_of_every_intent() -> None:
    by_language = intents.examples()
    counted = {
        intent: sum(1 for other, _ in by_language if other == intent) for intent, _ in by_language
    }
    assert min(counted.values()) >= 15
    sentences = [fold(sentence) for _, sentence in by_language]
    assert all(sentences)


async def test_stored_model_is_the_one_the_examples_give(encoder: LocalEncoder) -> None:
    stored = await intents.load(encoder)
    trained = await intents.train(encoder)
    assert intents._stored() is not None, "run python -m agent_container.engine.train"
    assert stored.labels == trained.labels
    np.testing.assert_allclose(stored.weights, trained.weights, atol=0.05)


def test_regression_separates_and_is_the_same_every_time() -> None:
    vectors = np.eye(6, dtype=np.float32)
    labels = ["a", "a", "b", "b", "c", "c"]
    first, second = regression.fit(vectors, labels), regression.fit(vectors, labels)
    assert np.array_equal(first.weights, second.weights)
    chances = first.probabilities(vectors)
    assert [first.labels[i] for i in chances.argmax(axis=1)] == labels
    np.testing.assert_allclose(chances.sum(axis=1), 1.0, rtol=1e-5)
