"""Whether a caller's own words agree to what was asked, decided in code and never by a model."""

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

from agent_container.folding import fold

_AROUND = " \t\n,;:.!?'’-"

Verdict = Literal["yes", "no", "open_ticket", "unclear"]
Context = Literal["asked", "offered", "anything_else"]
"""What the caller was answering.

`asked`: one yes-or-no question ("I'll open a ticket: ... Shall I?"). `offered`: a ticket was
mentioned as a possibility beside another question ("Did that help?"), so a bare yes or no belongs
to the other question. `anything_else`: nothing was asked; "no, that is all" ends the call.
"""


@dataclass(frozen=True, slots=True)
class _Words:
    consents: re.Pattern[str]
    says_yes: re.Pattern[str]
    whole_yes: re.Pattern[str]
    contradicts_no: re.Pattern[str]
    starts_with_no: re.Pattern[str]
    refuses: re.Pattern[str]
    hedges: re.Pattern[str]
    opens: re.Pattern[str]
    unasked: re.Pattern[str]
    other: re.Pattern[str]
    failed: re.Pattern[str]
    adds: re.Pattern[str]
    unadds: re.Pattern[str]
    closes: re.Pattern[str]


def judge(text: str, language: str, *, context: Context = "asked") -> Verdict:
    """Say what the caller's utterance means as an answer.

    A `yes` needs every word to belong to agreeing: "yes, but ..." and "yes, if ..." are `unclear`,
    and so is anything else that the caller did not plainly say.
    """
    words = _words(language)
    said = fold(text)
    # "No, it did not help, open a ticket": the "not" is about the step, not about the ticket.
    without_report = words.failed.sub(" ", said)
    if not said:
        return "unclear"
    refused = words.refuses.search(without_report) is not None
    # "Doe maar" and "why not" agree, though "maar" and "why" alone make a yes uncertain.
    hedged = words.hedges.search(words.whole_yes.sub(" ", without_report)) is not None
    if not hedged and not refused and _asks_for_ticket(without_report, said, words):
        # "Open a ticket for my printer" is no answer to a question about the VPN.
        about_else = context != "anything_else" and words.other.search(without_report) is not None
        return "unclear" if about_else else "open_ticket"
    if context == "anything_else":
        return "unclear"
    started_no = words.starts_with_no.match(said) is not None
    if context == "offered":
        # Only the words "no ticket" refuse what was merely offered.
        return "no" if refused and "ticket" in said else "unclear"
    if started_no or refused:
        return "unclear" if words.contradicts_no.search(said) else "no"
    if not hedged and words.consents.fullmatch(said) and words.says_yes.search(said):
        return "unclear" if _is_doubting(text) else "yes"
    return "unclear"


def hesitates(text: str, language: str) -> bool:
    """Say whether the caller said yes, but not plainly: "yes, but only if it is free"."""
    said = fold(text)
    return (
        _words(language).contradicts_no.search(said) is not None
        and judge(text, language) == "unclear"
    )


def is_closing(text: str, language: str) -> bool:
    """Say whether "no" (or silence) plus a closing word is all the caller said: they are done."""
    words = _words(language)
    return words.closes.fullmatch(fold(text)) is not None


def adds_comment(utterance: str, text: str, language: str) -> bool:
    """Say whether the caller asked, in this utterance, to note exactly `text` on their ticket."""
    words = _words(language)
    said, wanted = fold(utterance), fold(text)
    if not wanted or words.unadds.search(said):
        return False
    request = words.adds.search(said)
    return request is not None and f" {wanted} " in f" {said[request.end() :]} "


def comment_in(utterance: str, language: str) -> str | None:
    """Return the words the caller asked to note, as they said them, or None."""
    words = _words(language)
    if words.unadds.search(fold(utterance)):
        return None
    request = words.adds.search(fold(utterance))
    if request is None:
        return None
    rest = _after(utterance, len(fold(utterance)[: request.end()].split()))
    return rest or None


def asks_for_ticket(text: str, language: str) -> bool:
    """Say whether the caller asks in so many words for a ticket to be opened."""
    return judge(text, language, context="anything_else") == "open_ticket"


def _asks_for_ticket(without_report: str, said: str, words: _Words) -> bool:
    return words.opens.search(without_report) is not None and words.unasked.search(said) is None


def _is_doubting(text: str) -> bool:
    """A bare "Yes?" answers a name being called; "yes please?" still asks for it."""
    return text.rstrip().endswith("?") and len(fold(text).split()) == 1


def _after(text: str, count: int) -> str:
    """Return what stands in `text` after its first `count` folded words, as it was said."""
    position = 0
    for match in re.finditer(r"\S+", text):
        for part in re.finditer(r"[\w]+", match.group()):
            if count <= 0:
                return text[position:].strip(_AROUND)
            position = match.start() + part.end()
            count -= len(fold(part.group()).split())
    return "" if count > 0 else text[position:].strip(_AROUND)


def _phrases(phrases: list[str]) -> str:
    ordered = sorted({fold(phrase) for phrase in phrases}, key=len, reverse=True)
    return "(?:" + "|".join(re.escape(phrase) for phrase in ordered) + ")"


def _any_of(patterns: list[str]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns))


@cache
def _words(language: str) -> _Words:
    everything: dict[str, dict[str, list[str]]] = tomllib.loads(
        files("agent_container").joinpath("consent.toml").read_text(encoding="utf-8")
    )
    table = everything[language if language in everything else "en"]
    yes, no, closing = _phrases(table["yes"]), _phrases(table["no"]), _phrases(table["closing"])
    agreeing = _phrases([*table["yes"], *table["beside"]])
    ending = _phrases([*table["no"], *table["closing"], *table["beside"]])
    return _Words(
        consents=re.compile(rf"{agreeing}(?: {agreeing})*"),
        says_yes=re.compile(rf"\b{yes}\b"),
        whole_yes=re.compile(rf"\b{_phrases([p for p in table['yes'] if ' ' in p])}\b"),
        contradicts_no=re.compile(rf"\b{_phrases(table['strong'])}\b"),
        starts_with_no=re.compile(rf"(?:(?:euh|uh|um|oh|ah|well|ben) )*{no}\b"),
        refuses=re.compile(rf"\b{_phrases(table['never'])}\b"),
        hedges=re.compile(rf"\b{_phrases(table['hedge'])}\b"),
        opens=_any_of(table["open"]),
        unasked=_any_of(table["unasked"]),
        other=_any_of(table["other"]),
        failed=_any_of(table["failed"]),
        adds=_any_of(table["add"]),
        unadds=_any_of(table["unadd"]),
        closes=re.compile(rf"(?:{ending} )*{closing}(?: {ending})*"),
    )
