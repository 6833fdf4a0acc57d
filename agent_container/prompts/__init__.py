"""What a language model is told, one file per language: written, never built in code."""

from functools import cache
from importlib.resources import files


def instructions(language: str, *, company: str, level: int, name: str | None) -> str:
    """Return the instructions for one call; the caller's name is the only thing of theirs in it."""
    known = _prompt(f"known.{language}").format(name=name) if name and level else ""
    unknown = "" if known else _prompt(f"unknown.{language}")
    return _prompt(f"instructions.{language}").format(company=company, caller=known or unknown)


@cache
def _prompt(name: str) -> str:
    return files(__package__).joinpath(f"{name}.md").read_text(encoding="utf-8").strip()
