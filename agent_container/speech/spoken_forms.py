"""Write text for the ear: ticket numbers, addresses, keys, times and acronyms as they are said.

What the caller hears is written here, what the transcript shows is not: only a voice reads the
result.
"""

import itertools
import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from agent_container.speech import clauses

LANGUAGES = ("en", "fr", "nl", "de")

_MARKUP = re.compile(r"\*\*|__|`+|^\s*(?:[-*•]|#{1,6})\s+", re.MULTILINE)
_EMAIL = re.compile(r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+\b")
_URL = re.compile(r"\b(?:https?://|www\.)[^\s<>\"»)]*[\w/]", re.IGNORECASE)
_HOST = re.compile(r"\b(?:[a-z0-9-]{2,}\.)+[a-z]{2,}(?:/[\w./-]*\w)?", re.IGNORECASE)
_ADDRESS = re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b")
_TICKET = re.compile(r"\b(?:([A-Z]{1,3})-(\d{2,})|([A-Z]{1,10})-(\d{3,})|([A-Z]{1,6})(\d{4,}))\b")
_HEXADECIMAL = re.compile(r"\b0x([0-9a-fA-F]{4,})\b")
_SERIAL = re.compile(r"\b(?=[A-Z0-9]*\d[A-Z0-9]*\d)(?=[A-Z0-9]*[A-Z])[A-Z0-9]{6,}\b")
_TELEPHONE = re.compile(r"(?<![\w+])\+?\d(?:[ .-]?\d){8,}(?!\w)")
_LONG_NUMBER = re.compile(r"(?<![\w.,/-])(?!\d+000\b)\d{5,}(?![\w/-]|[.,]\d)")
_KEYS = re.compile(r"\b([A-Za-z]{2,6})((?:\s?\+\s?\w+)+)")
_ISO_DATE = re.compile(r"\b(\d{4})-(\d\d)-(\d\d)\b")
_DATE = re.compile(r"\b(\d{1,2})[/.](\d{1,2})[/.](\d{4})\b")
_CLOCK = re.compile(
    r"\b([01]?\d|2[0-3])(?::|\s?h\s?)([0-5]\d)\b(?!\s?[ap]\.?m\b)(?![:\d])", re.IGNORECASE
)
_FRENCH_HOUR = re.compile(r"\b([01]?\d|2[0-3])\s?h\b(?![/\w])")
_ACRONYM = re.compile(r"\b[A-Z]{2,4}\b")


@dataclass(frozen=True, slots=True)
class _Forms:
    dot: str
    at: str
    slash: str
    dash: str
    underscore: str
    plus: str
    digits: list[str]
    months: list[str]
    spell_acronyms: bool
    words: list[str]
    keys: dict[str, str]
    lexicon: dict[str, str]


@cache
def _forms(language: str) -> _Forms:
    with (Path(__file__).parent / "forms" / f"{language}.toml").open("rb") as file:
        return _Forms(**tomllib.load(file))


@cache
def _lexicon(language: str) -> re.Pattern[str]:
    longest_first = sorted(_forms(language).lexicon, key=len, reverse=True)
    return re.compile(rf"(?<![\w@./-])(?:{'|'.join(map(re.escape, longest_first))})(?![\w/-])")


def speakable(text: str, language: str) -> str:
    """Return a text as it is said aloud; what is speakable already comes back as it is.

    A language without forms of its own (BCP 47, "fr" or "fr-CA") is only tidied.
    """
    said = clauses.normalise(_MARKUP.sub("", text))
    language = language[:2].lower()
    if language not in LANGUAGES:
        return said
    forms = _forms(language)
    rules: list[tuple[re.Pattern[str], Callable[[re.Match[str]], str]]] = [
        (_EMAIL, lambda found: _address(found.group(), forms)),
        (_URL, lambda found: _url(found.group(), forms)),
        (_HOST, lambda found: _address(found.group(), forms)),
        (_ADDRESS, lambda found: found.group().replace(".", f" {forms.dot} ")),
        (_ISO_DATE, lambda found: _date(found, "ymd", language, forms)),
        (_DATE, lambda found: _date(found, "dmy", language, forms)),
        (_CLOCK, lambda found: _clock(int(found[1]), int(found[2]), language)),
        (_TELEPHONE, lambda found: _telephone(found.group(), forms)),
        (_TICKET, lambda found: _ticket(found, forms)),
        (_HEXADECIMAL, lambda found: f"{forms.digits[0]} X, {_signs(found[1].upper(), forms)}"),
        (_SERIAL, lambda found: _signs(found.group(), forms)),
        (_LONG_NUMBER, lambda found: _signs(found.group(), forms)),
        (_KEYS, lambda found: _key_press(found, forms)),
        (_lexicon(language), lambda found: forms.lexicon[found.group()]),
    ]
    if language == "fr":
        rules.append((_FRENCH_HOUR, lambda found: _clock(int(found[1]), 0, "fr")))
    if forms.spell_acronyms:
        rules.append((_ACRONYM, lambda found: _acronym(found.group(), forms)))
    for pattern, say in rules:
        said = pattern.sub(say, said)
    for key, name in forms.keys.items():
        if key not in ("Alt", "Win", "Del", "Maj"):  # words of their own outside a key press
            said = re.sub(rf"\b{key}\b", name, said)
    return clauses.normalise(said)


def _address(written: str, forms: _Forms) -> str:
    said = {".": forms.dot, "@": forms.at, "/": forms.slash, "-": forms.dash, "_": forms.underscore}
    return clauses.normalise(
        "".join(f" {said[sign]} " if sign in said else sign for sign in written)
    )


def _url(written: str, forms: _Forms) -> str:
    bare = re.sub(r"^(?:https?://)?(?:www\.)?", "", written, flags=re.IGNORECASE).rstrip("/")
    return _address(re.sub(r"[^\w./@-]+", " ", bare), forms)


def _ticket(found: re.Match[str], forms: _Forms) -> str:
    prefix = found[1] or found[3] or found[5]
    number = found[2] or found[4] or found[6]
    letters = " ".join(prefix) if len(prefix) <= 3 else prefix.capitalize()
    return f"{letters}, {_signs(number, forms)}"


def _signs(written: str, forms: _Forms) -> str:
    """Read digit by digit and letter by letter, with a breath after each third."""
    said = [forms.digits[int(sign)] if sign.isdigit() else sign for sign in written]
    if len(said) <= 4:
        return " ".join(said)
    breaks = [*range(0, len(said) - 1, 3), len(said)]  # a last sign never stands alone
    return ", ".join(" ".join(said[a:b]) for a, b in itertools.pairwise(breaks))


def _telephone(written: str, forms: _Forms) -> str:
    groups = re.findall(r"\d+", written)
    if len(groups) == 1:
        said = _signs(groups[0], forms)
    else:
        said = ", ".join(" ".join(forms.digits[int(digit)] for digit in group) for group in groups)
    return f"{forms.plus} {said}" if written.startswith("+") else said


def _key_press(found: re.Match[str], forms: _Forms) -> str:
    first = found[1]
    if first not in forms.keys and first not in ("Shift", "Windows", "Fn", "Cmd", "Option"):
        return found.group()
    names: list[str] = [first, *re.findall(r"\w+", found[2])]
    return " ".join(forms.keys.get(name, name) for name in names)


def _acronym(written: str, forms: _Forms) -> str:
    return written if written in forms.words else " ".join(written)


def _clock(hour: int, minute: int, language: str) -> str:
    match language:
        case "en":
            half = "AM" if hour < 12 else "PM"
            return (
                f"{hour % 12 or 12}:{minute:02} {half}" if minute else f"{hour % 12 or 12} {half}"
            )
        case "fr":
            hours = {0: "zéro heure", 1: "une heure", 21: "vingt et une heures"}
            said = hours.get(hour, f"{hour} heures")
            return f"{said} {minute}" if minute else said
        case "nl":
            return f"{hour} uur {minute}" if minute else f"{hour} uur"
        case _:
            said = "ein Uhr" if hour == 1 else f"{hour} Uhr"
            return f"{said} {minute}" if minute else said


def _date(found: re.Match[str], order: str, language: str, forms: _Forms) -> str:
    part = dict(zip(order, map(int, found.groups()), strict=True))
    year, month, day = part["y"], part["m"], part["d"]
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return found.group()
    name = forms.months[month - 1]
    match language:
        case "en":
            ending = {1: "st", 2: "nd", 3: "rd"}.get(
                day % 10 if day not in (11, 12, 13) else 0, "th"
            )
            return f"{name} {day}{ending}, {year}"
        case "fr":
            return f"{'1er' if day == 1 else day} {name} {year}"
        case "de":
            return f"{day}. {name} {year}"
        case _:
            return f"{day} {name} {year}"
