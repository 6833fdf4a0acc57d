"""How well spoken names and badges are heard (`python -m tests.evals.badge_capture --size full`).

Callers are synthetic voices over a telephone line (G.711), with lost packets and with babble. A try
is one utterance with the name and one with the badge, heard by the real speech server as a call
does; who is not verified tries once more, the digits in groups of three as they were asked to.
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
from aurion.callers import EVALUATIONS, alike_names

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
    says: tuple[tuple[str, str], tuple[str, str]]  # name and badge, of the first and second try


@dataclass(frozen=True, slots=True)
class Result:
    """How a caller's tries ended, and what was heard; synthetic callers have nothing to hide."""

    caller: Caller
    condition: str
    endings: tuple[Ending, ...]
    heard: tuple[tuple[str, tuple[str, ...]], ...]  # name and badges


def make_callers(people_per_voice: int) -> list[Caller]:
    """Return callers, the same every time: each voice with so many people."""
    draw = random.Random(2026)
    callers: list[Caller] = []
    for language, speakers in voices.VOICES.items():
        # English voices speak no French a Frenchwoman would own to.
        for voice in speakers if language == "en" else speakers[:1]:
            for number, name in enumerate(PEOPLE[language][:people_per_voice]):
                badge = f"{draw.randrange(10**6):06d}"
                first = BADGE[language][number % 3].format(_say_digits(badge, language, draw))
                says = (
                    (SAYS[language][number % 3].format(name), first),
                    (SAYS[language][(number + 1) % 3].format(name), _in_threes(badge, language)),
                )
                callers.append(Caller(name, badge, language, voice, says))
    return callers


async def run(client: SpeechClient, callers: Sequence[Caller]) -> list[Result]:
    """Let every caller call under every condition."""
    results: list[Result] = []
    for number, caller in enumerate(callers):
        for condition, spoil in CONDITIONS.items():
            endings: list[Ending] = []
            heard: list[tuple[str, tuple[str, ...]]] = []
            for attempt, (says_name, says_badge) in enumerate(caller.says):
                seed = number + 5000 * attempt
                names_heard = await _hear_name(client, says_name, caller, spoil, seed)
                badge = _over_the_line(says_badge, caller, spoil, seed + 1000)
                variants = await _hear_badge(client, badge, caller.language)
                heard.append((names_heard[0], variants))
                endings.append(_end(caller, callers, names_heard, variants))
                if endings[-1] == "verified":
                    break
            results.append(Result(caller, condition, tuple(endings), tuple(heard)))
    return results


async def _hear_name(
    client: SpeechClient,
    text: str,
    caller: Caller,
    spoil: Callable[[np.ndarray, int], np.ndarray],
    seed: int,
) -> list[str]:
    pcm = _over_the_line(text, caller, spoil, seed)
    plain = await client.transcribe(pcm, language=caller.language)
    (guesses,) = await client.guess(pcm, language=caller.language)
    return [plain.text, *(guess.text for guess in guesses)]


async def _hear_badge(client: SpeechClient, pcm: np.ndarray, language: str) -> tuple[str, ...]:
    plain = await client.transcribe(pcm, language=language)
    return await capture(
        client,
        pcm,
        language=language,
        badge_format=SIX,
        plain=plain.text,
        confidence=plain.confidence,
    )


def table(results: Sequence[Result]) -> str:
    """Return the endings per language and condition as Markdown."""
    lines = [
        "| language | line | callers | verified first time | within two tries | tries | asked again"
        " | wrong badge evaluated | name unknown | another person |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for (language, condition), group in sorted(by_line(results).items()):
        tries = Counter(ending for result in group for ending in result.endings)
        first = sum(result.endings[0] == "verified" for result in group)
        cells = [language, condition, len(group), first, tries["verified"], tries.total()]
        cells += [tries[e] for e in ("asked again", "wrong badge", "name unknown")]
        cells += [tries["another person"]]
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def by_line(results: Sequence[Result]) -> dict[tuple[str, str], list[Result]]:
    """Return the results per language and condition."""
    groups: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        groups.setdefault((result.caller.language, result.condition), []).append(result)
    return groups


def _end(
    caller: Caller, callers: Sequence[Caller], heard: Sequence[str], variants: tuple[str, ...]
) -> Ending:
    everybody = [person for people in PEOPLE.values() for person in people]
    meant = _meant(everybody, heard)
    tried = variants[: EVALUATIONS // max(len(meant), 1)]
    for other in callers:
        if other.name != caller.name and other.name in meant and other.badge in tried:
            return "another person"
    if not variants:
        return "asked again"
    if caller.name not in meant:
        return "name unknown"
    return "verified" if caller.badge in tried else "wrong badge"


def _meant(everybody: Sequence[str], heard: Sequence[str]) -> list[str]:
    """Return who would be evaluated; nobody when too many are alike."""
    alike = alike_names(everybody, list(dict.fromkeys(map(names.hear, heard))))
    return [everybody[at] for at in alike] if len(alike) <= 2 else []


def _in_threes(badge: str, language: str) -> str:
    words = [DIGITS[language][int(digit)] for digit in badge]
    return f"{' '.join(words[:3])}, {' '.join(words[3:])}."


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
            if result.endings != ("verified",):
                caller = result.caller
                print(
                    f"{result.endings}: {caller.name} {caller.badge} ({caller.voice},"
                    f" {result.condition}): {result.heard} said {caller.says}"
                )
    return 1 if any("another person" in result.endings for result in results) else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=sorted(SIZES), default="small")
    parser.add_argument("--verbose", action="store_true", help="show every call that failed")
    arguments = parser.parse_args()
    raise SystemExit(asyncio.run(_main(arguments.size, verbose=arguments.verbose)))
