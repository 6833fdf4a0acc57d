"""Requests and responses of API Gateway (REST, proxy): raw bytes in, errors out as statuses."""

import base64
import binascii
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode

from aurion.errors import AurionError, RequestMalformed, RequestTooLarge

logger = logging.getLogger(__name__)

MOST_BYTES = 1_048_576
"""What a body may hold; our vendors send a few thousand bytes."""

_MOST_FIELDS = 200


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it arrived; header names are in lower case, `body` is what was signed.

    `query` is written anew from its fields, which is what was sent as long as nothing in it needed
    escaping: our own addresses need none.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    def form(self) -> list[tuple[str, str]]:
        """Read the body as a form, in order.

        Raises:
            RequestMalformed: It is none.
        """
        try:
            return parse_qsl(
                self.body.decode("utf-8"),
                keep_blank_values=True,
                strict_parsing=bool(self.body),
                errors="strict",
                max_num_fields=_MOST_FIELDS,
            )
        except ValueError:
            raise RequestMalformed from None

    def fields(self) -> dict[str, str]:
        """Read the fields of the query; of a repeated one the last."""
        return dict(parse_qsl(self.query, keep_blank_values=True))


@dataclass(frozen=True, slots=True)
class Response:
    """An answer; nothing here may be kept by whoever passes it on."""

    status: int
    body: str = field(default="", repr=False)
    content_type: str = "application/json"


def serve(event: Mapping[str, Any], answer: Callable[[Request], Response]) -> dict[str, Any]:
    """Answer a proxy event; an error of ours becomes its status and its name, and no more."""
    try:
        response = answer(read(event))
    except AurionError as error:
        logger.log(
            logging.ERROR if error.status >= 500 else logging.WARNING,
            "a request was refused",
            extra={"error": type(error).__name__, "status": error.status},
        )
        response = Response(error.status, json.dumps({"error": type(error).__name__}))
    return {
        "statusCode": response.status,
        "headers": {"Content-Type": response.content_type, "Cache-Control": "no-store"},
        "body": response.body,
        "isBase64Encoded": False,
    }


def read(event: Mapping[str, Any]) -> Request:
    """Read a proxy event.

    Raises:
        RequestTooLarge: The body is larger than `MOST_BYTES`.
        RequestMalformed: It is flagged as base64 and is none.
    """
    fields: Mapping[str, list[str]] = event.get("multiValueQueryStringParameters") or {}
    headers: Mapping[str, str] = event.get("headers") or {}
    return Request(
        method=event["httpMethod"],
        path=event["path"],
        query=urlencode([(name, value) for name, values in fields.items() for value in values]),
        headers={name.lower(): value for name, value in headers.items()},
        body=_body(event.get("body") or "", flagged=bool(event.get("isBase64Encoded"))),
    )


def _body(text: str, *, flagged: bool) -> bytes:
    if len(text) > MOST_BYTES * 2:  # not worth being decoded
        raise RequestTooLarge
    try:
        body = base64.b64decode(text, validate=True) if flagged else text.encode("utf-8")
    except (binascii.Error, ValueError):
        raise RequestMalformed from None
    if len(body) > MOST_BYTES:
        raise RequestTooLarge
    return body
