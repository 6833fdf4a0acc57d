"""The engine's spoken answers: one TOML file per language, and the question each may end in."""

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from agent_container import phrases
from agent_container.folding import fold

LANGUAGES = ("en", "fr", "nl", "de")


@dataclass(frozen=True, slots=True)
class Answers:
    """All sentences of one language."""

    language: str
    say: dict[str, list[str]]
    questions: dict[str, list[str]]
    written: dict[str, str]
    heard: tuple[tuple[re.Pattern[str], str], ...]
    """How each question is recognised in what was said, the tools' own questions included."""

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
        """Return the key of the last question in a text, or None; a tool's own is `consent`."""
        said = fold(text)
        at, found = -1, None
        for pattern, key in self.heard:
            for match in pattern.finditer(said):
                if match.start() > at:
                    at, found = match.start(), key
        return found

    def fixed(self) -> list[str]:
        """Return every sentence that has no slot, for rendering ready-made."""
        groups = [*self.say.values(), *self.questions.values()]
        return list(dict.fromkeys(s for group in groups for s in group if "{" not in s))


@cache
def in_language(language: str) -> Answers:
    """Load the answers of a language; an unknown one is answered in English."""
    name = language if language in LANGUAGES else "en"
    table = tomllib.loads(files(__package__).joinpath(f"{name}.toml").read_text(encoding="utf-8"))
    say, questions = table["say"], table["questions"]
    heard = [(" ".join(sentences), key) for key, sentences in questions.items()]
    heard += [(phrases.say(phrase, name, **_ANY), key) for phrase, key in _TOOLS_ASK.items()]
    return Answers(name, say, questions, table["written"], tuple(map(_recognise, heard)))


# What the tools and the verification ask in fixed phrases, and which question it amounts to.
_TOOLS_ASK = {
    "verify.how_can_i_help": "help",
    "verify.unverified": "callback_or_person",
    "done.anything_else": "anything_else",
    "ask.open_ticket": "consent",
    "ask.callback": "consent",
    "ask.comment": "consent",
}
_SLOT = "0slot0"
_ANY = dict.fromkeys(("summary", "reason", "ticket", "text"), _SLOT)


def _recognise(question: tuple[str, str]) -> tuple[re.Pattern[str], str]:
    sentence, key = question
    return re.compile(re.escape(fold(sentence)).replace(_SLOT, ".+?")), key


def _end_once(sentence: str) -> str:
    """A slot that brought its own full stop does not get a second one."""
    return re.sub(r"([.!?])\s*\.$", r"\1", sentence)
