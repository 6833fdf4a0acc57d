"""What a caller hears from the telephone company's own voice, one file per language."""

import tomllib
from functools import cache
from importlib.resources import files

from aurion.tenants import Language


def get(language: Language, name: str) -> str:
    """Return a sentence; KeyError when there is none of this name."""
    return _read(language)[name]


def names(language: Language) -> set[str]:
    """Name the sentences of a language."""
    return set(_read(language))


@cache
def _read(language: Language) -> dict[str, str]:
    return tomllib.loads(files(__name__).joinpath(f"{language}.toml").read_text("utf-8"))
