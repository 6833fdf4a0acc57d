"""What an utterance carries besides its intent: numbers, a summary, what was tried already."""

import re

from agent_container.engine.cues import Cues
from agent_container.folding import fold

_NUMBER = re.compile(r"\b([A-Z]{1,6})[\s-]?(\d{3,12})\b")
_DIGITS = re.compile(r"\b\d{3,12}\b")
_SPOKEN_NUMBER = re.compile(r"\b(?:[A-Z]{2,6}-?|[A-Z]-)\d{3,12}\b")
_LETTERS = re.compile(r"\b[A-Za-z](?: [A-Za-z]){2,}\b")
_SENTENCE = re.compile(r"[^.!?]+[.!?]*")
_SUMMARY_LENGTH = 80
_QUESTION_START = re.compile(
    r"^(?:can|could|would|will) you (?:please )?|^(?:pouvez[- ]vous|pourriez[- ]vous|vous pouvez) ",
    re.IGNORECASE,
)


def sentences(text: str) -> list[str]:
    """Cut a text at its full stops, question and exclamation marks."""
    return [part.strip() for part in _SENTENCE.findall(text) if fold(part)]


def plain(text: str, cues: Cues) -> str:
    """Return the utterance without greetings and fillers at its start, written as it was said."""
    # The recogniser writes what is spelled letter by letter: "v p n".
    text = _LETTERS.sub(lambda found: found.group().replace(" ", ""), text)
    folded = fold(text)
    left = cues.strip_start(folded)
    return _last_words(text, len(left.split())) if left != folded else text.strip()


def ticket_number(text: str, cues: Cues) -> str | None:
    """Return a ticket number the caller mentioned, as "INC10234" or digits, or None.

    Bare digits count beside a word for ticket or number, or alone; an error code is none.
    """
    if match := _NUMBER.search(text):
        return f"{match.group(1)}{match.group(2)}"
    said = fold(text)
    digits = _DIGITS.findall(said)
    named = cues.has("number_words", said) or said.replace(" ", "").isdigit()
    if digits and (named or has_ticket_digits(said, cues)):
        return digits[0]
    return None


def has_ticket_digits(said: str, cues: Cues) -> bool:
    """Say whether folded text holds digits that are no error code, version or room."""
    return cues.has("bare_number", said) and not cues.has("no_ticket_number", said)


def spoken_numbers(text: str) -> list[str]:
    """Return the ticket numbers in what the agent said, in order."""
    return _SPOKEN_NUMBER.findall(text)


def same_number(mentioned: str, number: str) -> bool:
    """Say whether a mentioned number is this ticket's, letters and leading zeros aside."""
    digits = re.sub(r"\D", "", mentioned).lstrip("0")
    return bool(digits) and re.sub(r"\D", "", number).lstrip("0") == digits


def about(text: str, cues: Cues) -> str | None:
    """Return what a requested ticket is to be about, when the request says so."""
    found = cues.match("about", fold(text))
    return _last_words(text, len(found.group(found.lastindex or 1).split())) if found else None


def claims(text: str, cues: Cues) -> list[str]:
    """Return what the caller says they did already ("restarted the laptop")."""
    # One claim to a clause: "I checked the cable and I rebooted" are two.
    clauses = cues.patterns["clause"].split(fold(text))
    found = [cues.patterns["claim"].search(clause) for clause in clauses]
    return [next(group for group in match.groups() if group) for match in found if match]


def summary(text: str, cues: Cues) -> str:
    """Return a ticket's one-line summary in the caller's words."""
    said = plain(text, cues)
    first = next(iter(sentences(said)), said)
    first = _QUESTION_START.sub("", first).strip(" .,;:!?")
    words = first.split()
    # "My VPN keeps ..." -> "VPN keeps ...": a summary has no owner.
    if len(words) > 2 and cues.has("my", fold(words[0])):
        first = " ".join(words[1:])
    if len(first) > _SUMMARY_LENGTH:
        first = first[:_SUMMARY_LENGTH].rsplit(" ", 1)[0]
    return first[:1].upper() + first[1:]


def spelled(number: str) -> str:
    """Return a number as single letters and digits: "INC10" -> "I, N, C, 1, 0"."""
    return ", ".join(character for character in number if character.isalnum())


def _last_words(text: str, count: int) -> str:
    """Return the end of `text` that holds its last `count` folded words."""
    for match in re.finditer(r"\S+", text):
        if len(fold(text[match.start() :]).split()) <= count:
            return text[match.start() :].strip()
    # The cut lies inside a word ("l'imprimante"): keep that word whole.
    return text.strip()
