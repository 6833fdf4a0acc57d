"""The texts of tickets that no caller worded, one file per language."""

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

from aurion.tenants import Language


def interrupted(
    language: Language, *, started_at: str, caller: str | None, number: str | None, said: list[str]
) -> tuple[str, str]:
    """Word the ticket of a call that broke off: its summary and its description.

    `started_at` is already in the company's time; `said` are the caller's last sentences.
    """
    text = _read(language)["interrupted"]
    unknown = str(text["unknown"])
    lines = [
        str(text["description"])
        .format(started_at=started_at, caller=caller or unknown, number=number or unknown)
        .strip()
    ]
    if said:
        lines += ["", str(text["said"]), *(f"- {sentence}" for sentence in said)]
    return str(text["summary"]).format(caller=caller or number or unknown), "\n".join(lines)


def unanswered(language: Language, *, started_at: str, number: str) -> tuple[str, str]:
    """Word the ticket of a caller whom nobody answered: its summary and its description.

    `started_at` is already in the company's time; `number` is E.164.
    """
    text = _read(language)["unanswered"]
    return (
        str(text["summary"]).format(number=number),
        str(text["description"]).format(started_at=started_at, number=number).strip(),
    )


@cache
def _read(language: Language) -> dict[str, Any]:
    return tomllib.loads(files(__name__).joinpath(f"{language}.toml").read_text("utf-8"))
