"""Refusals as problem+json (RFC 9457), and the checks that lead to them."""

import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import cast

from starlette.requests import Request
from starlette.responses import JSONResponse

MAX_BODY_BYTES = 65_536

Check = Callable[[object], object]


class Problem(Exception):
    """The desk refuses a request and says why."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        errors: list[dict[str, str]] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = errors
        self.headers = headers


class Wrong(ValueError):
    """A field has a value it can't have."""


def answer(problem: Problem) -> JSONResponse:
    """Write a problem as the answer to a request."""
    content: dict[str, object] = {
        "type": "about:blank",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
    }
    if problem.errors:
        content["errors"] = problem.errors
    return JSONResponse(
        content,
        status_code=problem.status,
        headers=problem.headers,
        media_type="application/problem+json",
    )


async def read_fields(request: Request, checks: Mapping[str, Check]) -> dict[str, object]:
    """Read a JSON body whose fields pass their checks; unknown fields are refused too."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY_BYTES:
            raise Problem(413, f"A body has {MAX_BODY_BYTES} bytes at most.")
    try:
        given = json.loads(body)
    except ValueError:
        raise Problem(400, "The body is not JSON.") from None
    if not isinstance(given, dict):
        raise Problem(400, "The body is not a JSON object.")
    fields = cast("dict[str, object]", given)
    errors = [
        {"field": name, "message": "There is no such field."}
        for name in fields
        if name not in checks
    ]
    values: dict[str, object] = {}
    for name, check in checks.items():
        try:
            values[name] = check(fields.get(name))
        except Wrong as wrong:
            errors.append({"field": name, "message": str(wrong)})
    if errors:
        raise Problem(422, "Some fields can't be accepted.", errors=errors)
    return values


def read_query(request: Request, *allowed: str) -> dict[str, str]:
    """Read the query string; an unknown parameter is refused, never dropped."""
    given = dict(request.query_params)
    unknown = sorted(set(given) - set(allowed))
    if unknown:
        raise Problem(400, f"There is no parameter {unknown[0]!r}.")
    return given


def text(longest: int, *, shortest: int = 1) -> Check:
    """Accept a string of a certain length."""

    def check(value: object) -> str:
        if not isinstance(value, str):
            raise Wrong("This must be a string.")
        stripped = value.strip()
        if not shortest <= len(stripped) <= longest:
            raise Wrong(f"{stripped[:40]!r} must have {shortest} to {longest} characters.")
        return stripped

    return check


def optional(check: Check) -> Check:
    """Accept null, or what another check accepts."""
    return lambda value: None if value is None else check(value)


def choice(*options: str) -> Check:
    """Accept one of several strings."""

    def check(value: object) -> str:
        if not isinstance(value, str) or value not in options:
            raise Wrong(f"{value!r} is not one of {', '.join(options)}.")
        return value

    return check


def flag(value: object) -> bool:
    """Accept true or false."""
    if not isinstance(value, bool):
        raise Wrong("This must be true or false.")
    return value


def number(least: float, most: float) -> Check:
    """Accept a number within bounds."""

    def check(value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise Wrong("This must be a number.")
        if not least <= value <= most:
            raise Wrong(f"{value!r} must lie between {least} and {most}.")
        return value

    return check


def texts(most: int, longest: int) -> Check:
    """Accept a list of strings."""
    one = text(longest)

    def check(value: object) -> list[object]:
        if not isinstance(value, list) or len(cast("list[object]", value)) > most:
            raise Wrong(f"This must be a list of {most} strings at most.")
        return [one(item) for item in cast("list[object]", value)]

    return check
