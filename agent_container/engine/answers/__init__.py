"""The engine's spoken answers: one TOML file per language, and the question each may end in."""

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from agent_container.folding import fold

LANGUAGES = ("en", "fr", "nl", "de")


@dataclass(frozen=True, slots=True)
class Answers:
    """All sentences of one language."""

    language: str
    say: dict[str, list[str]]
    questions: dict[str, list[str]]
    written: dict[str, str]

    def spoken(self, *keys: str, **slots: str) -> str:
        """Return the sentences of these answers, in order, as one text."""
        sentences: list[str] = []
        for key in keys:
            for sentence in self.say.get(key) or self.questions[key]:
                filled = sentence.format(**slots) if "{" in sentence else sentence
                sentences.append(_end_once(filled.strip()))
        return " ".join(sentence for sentence in sentences if sentence)

    def write(self, key: str, **slots: str) -> str:
        """Return a text for a ticket."""
        return self.written[key].format(**slots)

    def question_in(self, text: str) -> str | None:
        """Return the key of the last question this text asks, or None."""
        said = fold(text)
        at, found = -1, None
        for key, sentences in self.questions.items():
            position = said.rfind(fold(" ".join(sentences)))
            if position > at:
                at, found = position, key
        return found

    def without_questions(self, text: str) -> str:
        """Return `text` without the engine's own questions: what was told, not what was asked."""
        for sentences in self.questions.values():
            text = text.replace(" ".join(sentences), " ")
        return re.sub(r"\s+", " ", text).strip()

    def fixed(self) -> list[str]:
        """Return every sentence that has no slot, for rendering ready-made."""
        groups = [*self.say.values(), *self.questions.values()]
        return list(dict.fromkeys(s for group in groups for s in group if "{" not in s))


@cache
def in_language(language: str) -> Answers:
    """Load the answers of a language; an unknown one is answered in English."""
    name = language if language in LANGUAGES else "en"
    table = tomllib.loads(files(__package__).joinpath(f"{name}.toml").read_text(encoding="utf-8"))
    return Answers(name, table["say"], table["questions"], table["written"])


def _end_once(sentence: str) -> str:
    """A slot that brought its own full stop does not get a second one."""
    return re.sub(r"([.!?])\s*\.$", r"\1", sentence)
