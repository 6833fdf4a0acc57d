"""The gateway's one server: the hooks under the stage, and Lambda's own API for invocations."""

import asyncio
import contextlib
import hashlib
import hmac
import json
import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from aurion.function_table import Function, FunctionTable

from local.gateway import environments, events, triggers
from local.gateway.events import Request, Response, refusal
from local.gateway.sandboxes import FunctionUnknown, Outcome, Sandboxes, Throttled

logger = logging.getLogger(__name__)
access = logging.getLogger("local.gateway.access")

type Scope = MutableMapping[str, Any]
type Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
type Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_INTEGRATION_S = 29.0
_INVOCATION = re.compile(r"/2015-03-31/functions/(?P<name>[^/]+)/invocations")
_LOCAL_HOST = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d+)?")
_ASYNC_PAUSES_S = (1.0, 2.0)  # minutes in the cloud


@dataclass(frozen=True, slots=True)
class _Route:
    method: str
    resource: str
    pattern: re.Pattern[str]
    function: Function

    @classmethod
    def of(cls, function: Function) -> "_Route":
        assert function.method
        assert function.path
        pattern = re.sub(r"\\\{(\w+)\\\+\\\}", r"(?P<\1>.+)", re.escape(function.path))
        pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", pattern)
        return cls(function.method, function.path, re.compile(pattern), function)


class Gateway:
    """An ASGI application over the functions of a table."""

    def __init__(
        self,
        table: FunctionTable,
        sandboxes: Mapping[str, Sandboxes],
        *,
        region: str,
        access_key_id: str,
        base64_always: bool = False,
    ) -> None:
        self._sandboxes = sandboxes
        self._region = region
        self._access_key_id = access_key_id
        self._base64_always = base64_always
        routes = [_Route.of(function) for function in table.functions if function.route]
        # A literal path before one with a parameter, as API Gateway chooses.
        self._routes = sorted(routes, key=lambda route: ("{" in route.resource, route.resource))
        self._background: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection of the ASGI protocol."""
        if scope["type"] == "lifespan":
            while (await receive())["type"] != "lifespan.shutdown":
                await send({"type": "lifespan.startup.complete"})
            await send({"type": "lifespan.shutdown.complete"})
            return
        began = time.monotonic()
        served_by, response = "-", refusal(500, "Internal server error")
        request = await _read(scope, receive)
        try:
            if request is None:
                response = refusal(413, "Request Too Long")
            elif (named := _INVOCATION.fullmatch(scope["path"])) is not None:
                served_by, response = "invoke", await self._invocation(request, named["name"])
            else:
                served_by, response = await self._hook(request, scope["path"])
        finally:
            self._note(request, served_by, response.status, time.monotonic() - began)
        await _answer(send, response, request)

    async def invoke(self, name: str, event: object) -> Outcome:
        """Run a function of the table.

        Raises:
            FunctionUnknown: The table has no such function.
            Throttled: Its reserved concurrency is used up.
        """
        sandboxes = self._sandboxes.get(name)
        if sandboxes is None:
            raise FunctionUnknown
        outcome = await sandboxes.invoke(event)
        logger.info(
            "invoked",
            extra={
                "function": name,
                "invocation": outcome.request_id,
                "failed": outcome.failed,
                "timed_out": outcome.timed_out,
                "ran_ms": round(outcome.ran_ms, 1),
                "cold_ms": None if outcome.cold_ms is None else round(outcome.cold_ms),
                "memory_mb": outcome.memory_mb,
            },
        )
        allowed_mb = sandboxes.function.memory_mb
        if outcome.memory_mb is not None and outcome.memory_mb > allowed_mb:
            # The cloud would have killed it.
            logger.error("more memory than allowed", extra={"function": name, "mb": allowed_mb})
        return outcome

    async def _hook(self, request: Request, path: str) -> tuple[str, Response]:
        """Serve an HTTP request by the function its route names; say which resource that was."""
        if not path.startswith(f"/{environments.STAGE}/"):
            return "-", refusal(403, "Forbidden")
        for route in self._routes:
            found = route.pattern.fullmatch(request.path)
            if found is None or route.method != request.method:
                continue
            parameters = {name: unquote(value) for name, value in found.groupdict().items()}
            event = events.proxy_event(
                request,
                resource=route.resource,
                parameters=parameters,
                region=self._region,
                base64_always=self._base64_always,
            )
            return route.resource, await self._integrate(route.function.name, event)
        return "-", refusal(403, "Missing Authentication Token")

    async def _integrate(self, name: str, event: dict[str, Any]) -> Response:
        if len(json.dumps(event)) > events.MOST_PAYLOAD_BYTES:
            return refusal(413, "Request Too Long")
        try:
            async with asyncio.timeout(_INTEGRATION_S):
                outcome = await self.invoke(name, event)
        except Throttled:
            return refusal(500, "Internal server error")
        except TimeoutError:
            return refusal(504, "Endpoint request timed out")
        if outcome.failed or len(outcome.payload) > events.MOST_PAYLOAD_BYTES:
            return refusal(502, "Internal server error")
        try:
            return events.read_answer(outcome.payload)
        except events.ResponseMalformed:
            logger.error("an answer is malformed", extra={"function": name})
            return refusal(502, "Internal server error")

    async def _invocation(self, request: Request, named: str) -> Response:
        """Serve Lambda's Invoke.

        Source: docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
        """
        if not self._may_invoke(request):
            return _lambda_error(403, "AccessDeniedException", "The request is not signed.")
        if request.method != "POST":
            return _lambda_error(405, "MethodNotAllowedException", "Use POST.")
        name = _function_name(unquote(named))
        if name not in self._sandboxes:
            return _lambda_error(404, "ResourceNotFoundException", f"Function not found: {name}")
        if len(request.body) > events.MOST_PAYLOAD_BYTES:
            return _lambda_error(413, "RequestTooLargeException", "The payload is too large.")
        try:
            event = json.loads(request.body or b"{}")
        except ValueError:
            text = "Could not parse request body into json."
            return _lambda_error(400, "InvalidRequestContentException", text)
        kind = request.header("x-amz-invocation-type") or "RequestResponse"
        if kind == "DryRun":
            return Response(204, [], b"")
        if kind == "Event":
            self._later(name, event)
            return Response(202, [], b"")
        try:
            outcome = await self.invoke(name, event)
        except Throttled:
            return _lambda_error(429, "TooManyRequestsException", "Rate Exceeded.")
        headers = [("content-type", "application/json"), ("x-amz-executed-version", "$LATEST")]
        if outcome.failed:
            headers.append(("x-amz-function-error", "Unhandled"))
        return Response(200, headers, outcome.payload)

    def _may_invoke(self, request: Request) -> bool:
        # Names the key and comes to this host: no page in a browser can have either of them sent.
        named = re.search(r"Credential=([^/]+)/", request.header("authorization"))
        key = hashlib.sha256(named[1].encode()).digest() if named else b""
        own = hashlib.sha256(self._access_key_id.encode()).digest()
        host = request.header("host")
        return hmac.compare_digest(key, own) and bool(_LOCAL_HOST.fullmatch(host))

    def _later(self, name: str, event: object) -> None:
        def invoke(what: object) -> Awaitable[Outcome]:
            return self.invoke(name, what)

        work = triggers.invoke_later(invoke, event, pauses_s=_ASYNC_PAUSES_S)
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def _note(self, request: Request | None, resource: str, status: int, took_s: float) -> None:
        """Write the access log: the route, never the path, a sender or a parameter."""
        access.info(
            "request",
            extra={
                "request": request.id if request else None,
                "method": request.method if request else None,
                "resource": resource,
                "status": status,
                "bytes_in": len(request.body) if request else None,
                "ms": round(took_s * 1000, 1),
            },
        )


class JsonLines(logging.Formatter):
    """Write a log line as JSON: the message and the fields it was given."""

    def format(self, record: logging.LogRecord) -> str:
        """Give the line."""
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "what": record.getMessage(),
        }
        line |= {name: value for name, value in vars(record).items() if name not in _PLAIN}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


_PLAIN = vars(logging.makeLogRecord({})).keys() | {"message", "asctime", "color_message"}


async def _read(scope: Scope, receive: Receive) -> Request | None:
    """Read a whole request; None when it is longer than API Gateway takes."""
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        part = message.get("body", b"")
        size += len(part)
        more = message.get("more_body", False)
        if size <= events.MOST_BODY_BYTES:
            parts.append(part)
    if size > events.MOST_BODY_BYTES:
        return None
    path: str = scope["raw_path"].decode("latin-1")
    return Request(
        method=scope["method"],
        path=path.removeprefix(f"/{environments.STAGE}"),
        query=scope["query_string"].decode("latin-1"),
        headers=[(k.decode("latin-1"), v.decode("latin-1")) for k, v in scope["headers"]],
        body=b"".join(parts),
        source_ip=(scope.get("client") or ("127.0.0.1", 0))[0],
        protocol=f"HTTP/{scope['http_version']}",
    )


async def _answer(send: Send, response: Response, request: Request | None) -> None:
    headers = [(name.lower(), value) for name, value in response.headers]
    headers = [(name, value) for name, value in headers if name != "content-length"]
    if request is not None:
        headers.append(("x-amzn-requestid", request.id))
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    if response.status not in {204, 304}:
        raw.append((b"content-length", str(len(response.body)).encode()))
    with contextlib.suppress(ConnectionError):
        await send({"type": "http.response.start", "status": response.status, "headers": raw})
        await send({"type": "http.response.body", "body": response.body})


def _function_name(named: str) -> str:
    """Take the table's name out of a name or an ARN, with or without a qualifier."""
    parts = named.split(":")
    named = parts[parts.index("function") + 1] if "function" in parts else parts[0]
    return environments.table_name(named)


def _lambda_error(status: int, kind: str, text: str) -> Response:
    headers = [("content-type", "application/json"), ("x-amzn-errortype", kind)]
    body = json.dumps({"Type": "User", "Message": text, "message": text}).encode()
    return Response(status, headers, body)
