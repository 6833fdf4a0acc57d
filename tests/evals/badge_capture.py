"""How well spoken names and badges are heard (`python -m tests.evals.badge_capture --size full`).

Callers are synthetic voices over a telephone line (G.711), with lost packets and with babble. A
call is one utterance with the name and one with the badge, heard by the real speech server.
"""

import argparse
import asyncio
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from aurion import names
from aurion.badges import read_format

from agent_container.badge_capture import capture
from agent_container.speech import sounds
from agent_container.speech.client import LISTENING_RATE, SpeechClient
from agent_container.speech.process import start_speech
from tests import voices

type Ending = Literal["verified", "asked again", "wrong badge", "name unknown", "another person"]

SIX = read_format("[0-9]{6}")
PEOPLE = {
    "en": (
        "Alice Martin",
        "Tom Becker",
        "Mark Okonkwo",
        "Isabella Rossi",
        "Nicole Vandenberghe",
        "Hannah Schultz",
        "Peter Lindqvist",
        "Grace O'Brien",
        "Daniel Kowalski",
        "Sarah Whitfield",
        "Omar Haddad",
        "Julia Novak",
        "Kevin Walsh",
        "Priya Sharma",
    ),
    "fr": (
        "Claire Dubois",
        "Julien Lefèvre",
        "Camille Moreau",
        "Antoine Gauthier",
        "Élodie Fontaine",
        "Nicolas Vandenberghe",
        "Margaux Chevalier",
        "Thomas Girard",
        "Amélie Rousseau",
        "Karim Benali",
        "Sophie Lambert",
        "Mathieu Carpentier",
        "Inès Delacroix",
        "Hugo Marchand",
    ),
}
SAYS = {
    "en": ("Hi, this is {}.", "My name is {}.", "{} speaking."),
    "fr": ("Bonjour, je m'appelle {}.", "C'est {}.", "{} à l'appareil."),
}
BADGE = {
    "en": ("My badge number is {}.", "{}.", "It's {}."),
    "fr": ("Mon numéro de badge est le {}.", "{}.", "C'est le {}."),
}
DIGITS = {
    "en": ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    "fr": ("zéro", "un", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf"),
}
CONDITIONS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "G.711": lambda pcm, seed: pcm,
    "3 % loss": lambda pcm, seed: voices.lose_packets(pcm, 0.03, seed),
    "babble 10 dB": lambda pcm, seed: voices.babble(pcm, 10, seed),
}
SIZES = {"small": 1, "full": 14}


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who calls, with the badge they have and how they say it."""

    name: str
    badge: str
    language: str
    voice: voices.Voice
    says_name: str
    says_badge: str


@dataclass(frozen=True, slots=True)
class Result:
    """How one call ended, and what was heard; synthetic callers have nothing to hide."""

    caller: Caller
    condition: str
    ending: Ending
    name_heard: str
    badges: tuple[str, ...]


def make_callers(people_per_voice: int) -> list[Caller]:
    """Return callers, the same every time: each voice with so many people."""
    draw = random.Random(2026)
    callers: list[Caller] = []
    for language, speakers in voices.VOICES.items():
        # English voices speak no French a Frenchwoman would own to.
        for voice in speakers if language == "en" else speakers[:1]:
            for number, name in enumerate(PEOPLE[language][:people_per_voice]):
                badge = f"{draw.randrange(10**6):06d}"
                callers.append(
                    Caller(
                        name,
                        badge,
                        language,
                        voice,
                        SAYS[language][number % 3].format(name),
                        BADGE[language][number % 3].format(_say_digits(badge, language, draw)),
                    )
                )
    return callers


async def run(client: SpeechClient, callers: Sequence[Caller]) -> list[Result]:
    """Let every caller call under every condition."""
    results: list[Result] = []
    for number, caller in enumerate(callers):
        for condition, spoil in CONDITIONS.items():
            name = _over_the_line(caller.says_name, caller, spoil, number)
            badge = _over_the_line(caller.says_badge, caller, spoil, number + 1000)
            heard = await client.transcribe(name, language=caller.language)
            variants = await capture(client, badge, language=caller.language, badge_format=SIX)
            ending = _end(caller, callers, heard.text, variants)
            results.append(Result(caller, condition, ending, heard.text, variants or ()))
    return results


def table(results: Sequence[Result]) -> str:
    """Return the endings per language and condition as Markdown."""
    endings = ("verified", "asked again", "wrong badge", "name unknown", "another person")
    counts: dict[tuple[str, str], Counter[str]] = {}
    for result in results:
        counts.setdefault((result.caller.language, result.condition), Counter())[result.ending] += 1
    lines = [
        "| language | line | calls | verified first time | asked again | wrong badge evaluated"
        " | name unknown | another person |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for (language, condition), counter in sorted(counts.items()):
        cells = [language, condition, str(counter.total()), *(str(counter[e]) for e in endings)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _end(
    caller: Caller, callers: Sequence[Caller], name_heard: str, variants: tuple[str, ...] | None
) -> Ending:
    heard = names.hear(name_heard)
    everybody = {person for people in PEOPLE.values() for person in people}
    scores = {person: names.match(person, heard).score for person in everybody}
    best = max(scores.values())
    meant = {person for person, score in scores.items() if score and score >= best - 0.06}
    for other in callers:
        if other.name != caller.name and other.name in meant and other.badge in (variants or ()):
            return "another person"
    if variants is None:
        return "asked again"
    if caller.name not in meant:
        return "name unknown"
    return "verified" if caller.badge in variants else "wrong badge"


def _say_digits(badge: str, language: str, draw: random.Random) -> str:
    """Say six digits in groups of three or two, or evenly, with a double where people use one."""
    words = [DIGITS[language][int(digit)] for digit in badge]
    group = draw.choice((3, 2, 6))
    if language == "en" and draw.random() < 0.3:
        for at in range(5):
            if badge[at] == badge[at + 1]:
                return " ".join([*words[:at], "double", words[at], *words[at + 2 :]])
    return ", ".join(" ".join(words[at : at + group]) for at in range(0, 6, group))


def _over_the_line(
    text: str, caller: Caller, spoil: Callable[[np.ndarray, int], np.ndarray], seed: int
) -> np.ndarray:
    said = voices.say(text, caller.language, caller.voice)
    quiet = voices.noise(0.3, seed=seed)
    return sounds.resample(
        spoil(np.concatenate([quiet, said, quiet]), seed), voices.LINE_RATE, LISTENING_RATE
    )


async def _main(size: str, *, verbose: bool) -> int:
    with tempfile.TemporaryDirectory() as folder:
        process = start_speech(Path(folder) / "speech.sock", voices.CACHE)
        try:
            async with SpeechClient(process.socket) as client:
                results = await run(client, make_callers(SIZES[size]))
        finally:
            process.stop()
    print(table(results))
    if verbose:
        for result in results:
            if result.ending != "verified":
                caller = result.caller
                print(
                    f"{result.ending}: {caller.name} {caller.badge} ({caller.voice},"
                    f" {result.condition}): {result.name_heard!r} {result.badges}"
                    f" said {caller.says_badge!r}"
                )
    return 1 if any(result.ending == "another person" for result in results) else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=sorted(SIZES), default="small")
    parser.add_argument("--verbose", action="store_true", help="show every call that failed")
    arguments = parser.parse_args()
    raise SystemExit(asyncio.run(_main(arguments.size, verbose=arguments.verbose)))
