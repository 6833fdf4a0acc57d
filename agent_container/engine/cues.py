"""Words that decide an intent by themselves, or that an action must have as evidence."""

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

_NEVER = re.compile(r"(?!)")


@dataclass(frozen=True, slots=True)
class Cues:
    """The compiled cue lists of one language, all matched against folded text."""

    patterns: dict[str, re.Pattern[str]]

    def match(self, name: str, said: str) -> re.Match[str] | None:
        """Find a cue in folded text."""
        return self.patterns.get(name, _NEVER).search(said)

    def has(self, name: str, said: str) -> bool:
        """Say whether folded text holds a cue."""
        return self.match(name, said) is not None

    def strip_start(self, said: str) -> str:
        """Take greetings and fillers off the start of folded text, if anything is left."""
        while found := self.patterns["start"].match(said):
            said = said[found.end() :]
        return said


@cache
def in_language(language: str) -> Cues:
    """Load the cues of a language; an unknown one is understood as English."""
    folder = files("agent_container.engine").joinpath("cues")
    file = folder.joinpath(f"{language}.toml")
    if not file.is_file():
        file = folder.joinpath("en.toml")
    table: dict[str, list[str]] = tomllib.loads(file.read_text(encoding="utf-8"))
    start = "|".join([*table.pop("filler"), *table.pop("opening")])
    patterns = {
        name: re.compile("|".join(f"(?:{pattern})" for pattern in listed))
        for name, listed in table.items()
    }
    patterns["start"] = re.compile(rf"^(?:{start}) (?=\S)")
    return Cues(patterns)
