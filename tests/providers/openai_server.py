"""OpenAI's chat completions as far as a voice agent uses them; others speak this too."""

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
class OpenAIServer:
    """Answer with what `think` makes of a request; `status` other than 200 refuses."""

    think: Think
    api_key: str = "test-key"
    base_url: str = ""
    status: int = 200
    requests: list[dict[str, Any]] = field(default_factory=list)
    bodies: list[str] = field(default_factory=list)

    async def completions(self, request: Request) -> Response:
        body = await request.body()
        self.bodies.append(body.decode())
        asked = json.loads(body)
        self.requests.append(asked)
        if request.headers.get("authorization") != f"Bearer {self.api_key}":
            return _error(401, "Incorrect API key provided")
        if self.status != 200:
            return _error(self.status, "The server is overloaded")
        if wrong := _wrong(asked):
            return _error(400, wrong)
        return StreamingResponse(
            _stream(asked["model"], self.think(asked)), media_type="text/event-stream"
        )


@contextmanager
def run(think: Think) -> Iterator[OpenAIServer]:
    server = OpenAIServer(think)
    app = Starlette(routes=[Route("/v1/chat/completions", server.completions, methods=["POST"])])
    with serve(app) as address:
        server.base_url = f"{address}/v1"
        yield server


def _wrong(asked: dict[str, Any]) -> str | None:
    if "model" not in asked or not asked.get("messages"):
        return "you must provide a model parameter"
    waiting: set[str] = set()
    for message in asked["messages"]:
        if message["role"] == "tool":
            if message["tool_call_id"] not in waiting:
                return "messages with role 'tool' must be a response to a preceding message"
            waiting.discard(message["tool_call_id"])
        elif waiting:
            return "an assistant message with 'tool_calls' must be followed by tool messages"
        waiting |= {call["id"] for call in message.get("tool_calls") or []}
    return None


async def _stream(model: str, blocks: list[Block]) -> AsyncGenerator[str]:
    calls = 0
    yield _chunk(model, {"role": "assistant", "content": ""})
    for block in blocks:
        if isinstance(block, str):
            for word in block.split(" "):
                yield _chunk(model, {"content": word + " "})
            continue
        name, arguments = block
        head = {"index": calls, "id": f"call_{uuid.uuid4().hex}", "type": "function"}
        yield _chunk(model, {"tool_calls": [{**head, "function": {"name": name, "arguments": ""}}]})
        piece = {"index": calls, "function": {"arguments": json.dumps(arguments)}}
        yield _chunk(model, {"tool_calls": [piece]})
        calls += 1
    yield _chunk(model, {}, finish="tool_calls" if calls else "stop")
    yield "data: [DONE]\n\n"


def _chunk(model: str, delta: dict[str, Any], finish: str | None = None) -> str:
    body = {
        "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model,
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }  # fmt: skip
    return f"data: {json.dumps(body)}\n\n"


def _error(status: int, message: str) -> JSONResponse:
    return JSONResponse({"error": {"message": message, "type": "error"}}, status_code=status)
