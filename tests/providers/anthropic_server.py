"""Anthropic's Messages API as far as a voice agent uses it: streamed replies, tools, its refusals.

Written from the vendor's documented wire protocol. What it was asked is kept word for word.
"""

import json
import uuid
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.providers.loopback import serve

type Block = str | tuple[str, dict[str, Any]]
type Think = Callable[[dict[str, Any]], list[Block]]


@dataclass(slots=True)
class AnthropicServer:
    """Answer with what `think` makes of a request; `status` other than 200 refuses."""

    think: Think
    api_key: str = "test-key"
    base_url: str = ""
    status: int = 200
    requests: list[dict[str, Any]] = field(default_factory=list)
    bodies: list[str] = field(default_factory=list)

    async def messages(self, request: Request) -> Response:
        body = await request.body()
        self.bodies.append(body.decode())
        asked = json.loads(body)
        self.requests.append(asked)
        if request.headers.get("x-api-key") != self.api_key:
            return _error(401, "authentication_error", "invalid x-api-key")
        if "anthropic-version" not in request.headers:
            return _error(400, "invalid_request_error", "anthropic-version: header is required")
        if self.status != 200:
            return _error(self.status, "overloaded_error", "Overloaded")
        if wrong := _wrong(asked):
            return _error(400, "invalid_request_error", wrong)
        return StreamingResponse(
            _stream(asked["model"], self.think(asked)), media_type="text/event-stream"
        )


@contextmanager
def run(think: Think) -> Iterator[AnthropicServer]:
    server = AnthropicServer(think)
    app = Starlette(routes=[Route("/v1/messages", server.messages, methods=["POST"])])
    with serve(app) as server.base_url:
        yield server


def _wrong(asked: dict[str, Any]) -> str | None:
    """Find what the vendor would refuse."""
    missing = [name for name in ("model", "max_tokens", "messages") if name not in asked]
    if missing:
        return f"{missing[0]}: Field required"
    messages = asked["messages"]
    if not messages or messages[0]["role"] != "user":
        return "messages: first message must use the user role"
    open_uses: set[str] = set()
    for message in messages:
        blocks = message["content"]
        if isinstance(blocks, str):
            blocks = [{"type": "text", "text": blocks}]
        results = {b["tool_use_id"] for b in blocks if b["type"] == "tool_result"}
        if open_uses - results:
            return "tool_use ids were found without tool_result blocks immediately after"
        if results - open_uses:
            return "unexpected tool_use_id found in tool_result blocks"
        if any(b["type"] == "text" and not b["text"].strip() for b in blocks):
            return "text content blocks must be non-empty"
        open_uses = {b["id"] for b in blocks if b["type"] == "tool_use"}
    if open_uses:
        return "messages: final assistant content cannot end with tool_use"
    for tool in asked.get("tools", []):
        if tool.get("input_schema", {}).get("type") != "object":
            return "tools.0.custom.input_schema.type: Field required"
    return None


async def _stream(model: str, blocks: list[Block]) -> AsyncGenerator[str]:
    usage = {"input_tokens": 10, "output_tokens": 1}
    yield _event(
        "message_start",
        message={
            "id": "msg_1", "type": "message", "role": "assistant", "model": model, "content": [],
            "stop_reason": None, "stop_sequence": None, "usage": usage,
        },
    )  # fmt: skip
    for index, block in enumerate(blocks):
        if isinstance(block, str):
            yield _event(
                "content_block_start", index=index, content_block={"type": "text", "text": ""}
            )
            for word in block.split(" "):
                delta = {"type": "text_delta", "text": word + " "}
                yield _event("content_block_delta", index=index, delta=delta)
        else:
            name, arguments = block
            use = {"type": "tool_use", "id": f"toolu_{uuid.uuid4().hex}", "name": name, "input": {}}
            yield _event("content_block_start", index=index, content_block=use)
            text = json.dumps(arguments)
            for part in (text[: len(text) // 2], text[len(text) // 2 :]):
                delta = {"type": "input_json_delta", "partial_json": part}
                yield _event("content_block_delta", index=index, delta=delta)
        yield _event("content_block_stop", index=index)
    stop = "tool_use" if any(not isinstance(block, str) for block in blocks) else "end_turn"
    yield _event("message_delta", delta={"stop_reason": stop, "stop_sequence": None}, usage=usage)
    yield _event("message_stop")


def _event(kind: str, **fields: Any) -> str:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n"


def _error(status: int, kind: str, message: str) -> JSONResponse:
    body = {"type": "error", "error": {"type": kind, "message": message}}
    return JSONResponse(body, status_code=status)
