"""Troubles a network vendor has, switched on by tests: slow, down, lost answers, odd answers.

`POST /faults` exists only when the desk was started with `--allow-faults`. The troubles happen on
the wire, below the desk's own code, so that what it has committed is committed.
"""

import asyncio
from dataclasses import dataclass, field
from typing import cast

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from local.desk import problems
from local.desk.problems import Problem

KINDS = (
    "status",  # answers `status` without doing anything, as 429 and 503 do
    "delay",  # does it after `seconds`
    "hang",  # does it, then never answers
    "cut",  # does it, then closes the connection in the middle of the answer
    "drip",  # does it, then sends one byte each `seconds`
    "html",  # answers 200 with a sign-in page
    "garbage",  # does it, then answers something that isn't JSON
    "ignore_filters",  # drops what was asked for and answers with everybody
    "somebody_else",  # drops what was asked for and answers with one somebody else
)


@dataclass(slots=True)
class Fault:
    """One trouble: which requests have it, and how many times more (None: until cleared)."""

    kind: str
    method: str | None
    path: str
    status: int
    seconds: float
    times: int | None


@dataclass(slots=True)
class Faults:
    """The troubles switched on now."""

    on: list[Fault] = field(default_factory=list[Fault])

    def take(self, method: str, path: str) -> Fault | None:
        """Find the trouble this request has, and count it."""
        for fault in self.on:
            if fault.times != 0 and fault.method in (None, method) and path.startswith(fault.path):
                if fault.times is not None:
                    fault.times -= 1
                return fault
        return None


async def change(request: Request) -> JSONResponse:
    """Switch a trouble on (POST) or all of them off (DELETE)."""
    faults: Faults | None = request.app.state.faults
    if faults is None:
        raise Problem(404, "There is nothing here.")
    if request.method == "DELETE":
        faults.on.clear()
        return JSONResponse({"on": 0})
    fields = await problems.read_fields(
        request,
        {
            "kind": problems.choice(*KINDS),
            "method": problems.optional(problems.choice("GET", "POST", "PATCH")),
            "path": problems.text(200),
            "status": problems.optional(problems.number(300, 599)),
            "seconds": problems.optional(problems.number(0, 600)),
            "times": problems.optional(problems.number(1, 1000)),
        },
    )
    times = cast("int | None", fields["times"])
    faults.on.append(
        Fault(
            kind=str(fields["kind"]),
            method=cast("str | None", fields["method"]),
            path=str(fields["path"]),
            status=int(cast("int | None", fields["status"]) or 503),
            seconds=float(cast("float | None", fields["seconds"]) or 1.0),
            times=times,
        )
    )
    return JSONResponse({"on": len(faults.on)}, status_code=201)


class FaultMiddleware:
    """Gives requests the trouble that is switched on for them."""

    def __init__(self, app: ASGIApp, faults: Faults) -> None:
        self.app = app
        self.faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, in trouble or not."""
        fault = None
        if scope["type"] == "http" and not scope["path"].startswith("/faults"):
            fault = self.faults.take(scope["method"], scope["path"])
        if fault is None:
            await self.app(scope, receive, send)
            return
        match fault.kind:
            case "status":
                problem = Problem(fault.status, "Not now.", headers={"Retry-After": "2"})
                await problems.answer(problem)(scope, receive, send)
            case "html":
                await _send_page(send)
            case "delay":
                await asyncio.sleep(fault.seconds)
                await self.app(scope, receive, send)
            case "ignore_filters" | "somebody_else":
                scope.setdefault("state", {})["drops_filters"] = fault.kind
                await self.app(scope, receive, send)
            case _:
                kept: list[Message] = []

                async def keep(message: Message) -> None:
                    kept.append(message)

                await self.app(scope, receive, keep)
                await _answer_badly(fault, kept, receive, send)


async def _answer_badly(fault: Fault, kept: list[Message], receive: Receive, send: Send) -> None:
    start = kept[0]
    body: bytes = b"".join(message.get("body", b"") for message in kept[1:])
    match fault.kind:
        case "hang":
            while (await receive())["type"] != "http.disconnect":
                pass
        case "cut":
            # The length promised is never reached: the server closes the connection instead.
            await send(start)
            await send({"type": "http.response.body", "body": body[:1], "more_body": True})
        case "drip":
            await send(start)
            for byte in body:
                await send({"type": "http.response.body", "body": bytes([byte]), "more_body": True})
                await asyncio.sleep(fault.seconds)
            await send({"type": "http.response.body", "body": b""})
        case _:
            garbage = b'{"tickets": [{"number"'
            MutableHeaders(scope=start)["content-length"] = str(len(garbage))
            await send(start)
            await send({"type": "http.response.body", "body": garbage})


async def _send_page(send: Send) -> None:
    page = b"<!doctype html><title>Sign in</title><p>Please sign in."
    headers = [(b"content-type", b"text/html"), (b"content-length", str(len(page)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": page})
