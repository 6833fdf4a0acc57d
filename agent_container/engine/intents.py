"""The intents and the trained classifier that proposes one of them for an utterance."""

import hashlib
import io
import tomllib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Literal, Protocol, get_args

import numpy as np

from agent_container.engine.regression import Regression, Vectors, fit

Intent = Literal[
    "problem",
    "how_to",
    "ticket_status",
    "open_ticket",
    "add_comment",
    "my_assets",
    "outages",
    "transfer_person",
    "callback",
    "yes",
    "no",
    "tried_failed",
    "tried_worked",
    "next_step",
    "repeat",
    "slower",
    "thanks",
    "greeting",
    "small_talk",
    "who_are_you",
    "goodbye",
    "out_of_scope",
    "spell_number",
    "cancel",
    "unsure",
    "choose_ticket",
    "which_ticket",
    "choose_person",
    "choose_message",
    "silence",
]
LANGUAGES = ("en", "fr", "nl", "de")


class Encoder(Protocol):
    """Whatever turns sentences into unit vectors; the speech client is one."""

    async def encode(self, texts: Sequence[str]) -> Vectors:
        """Return one row for each text, L2-normalised."""
        ...


@cache
def examples() -> tuple[tuple[str, str], ...]:
    """Return every (intent, sentence) of the training set, in file order."""
    known = set(get_args(Intent))
    pairs: list[tuple[str, str]] = []
    for language in LANGUAGES:
        file = files("agent_container.engine").joinpath("examples", f"{language}.toml")
        table: dict[str, list[str]] = tomllib.loads(file.read_text(encoding="utf-8"))
        assert set(table) <= known, f"unknown intent in examples/{language}.toml"
        pairs += [(intent, sentence) for intent, listed in table.items() for sentence in listed]
    return tuple(pairs)


def digest() -> str:
    """Return a hash of the training set: a trained file made from another one is not used."""
    return hashlib.sha256(repr(examples()).encode()).hexdigest()


async def train(encoder: Encoder) -> Regression:
    """Train the classifier on all languages at once; the vectors are the same space for all."""
    vectors = await encoder.encode([sentence for _, sentence in examples()])
    return fit(np.asarray(vectors, dtype=np.float32), [intent for intent, _ in examples()])


async def load(encoder: Encoder) -> Regression:
    """Return the trained classifier from the file beside this module, or train it anew."""
    return _stored() or await train(encoder)


def to_bytes(model: Regression) -> bytes:
    """Return a trained classifier as the content of `intents.npz`."""
    buffer = io.BytesIO()
    np.savez(
        buffer,
        digest=np.array(digest()),
        labels=np.array(model.labels),
        weights=model.weights,
        bias=model.bias,
    )
    return buffer.getvalue()


@cache
def _stored() -> Regression | None:
    file = files("agent_container.engine").joinpath("intents.npz")
    if not file.is_file():
        return None
    with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as stored:
        if str(stored["digest"]) != digest():
            return None
        labels = tuple(str(label) for label in stored["labels"])
        return Regression(labels, stored["weights"], stored["bias"])
