"""One place where a function runs: a process, one invocation after the other, as Lambda does it.

Started by the gateway in the function's own folder, with the function's own environment. Messages
on the inherited socket are a length of four bytes and JSON; a second socket, on which nothing is
ever said, ends the process together with whoever started it.
"""

import importlib
import json
import os
import resource
import socket
import struct
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

_LENGTH = struct.Struct("!I")


class Context:
    """What a handler is told about its invocation (the Lambda context object)."""

    identity = None
    client_context = None

    def __init__(self, request_id: str, deadline: float) -> None:
        self.aws_request_id = request_id
        self._deadline = deadline
        self.function_name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        self.function_version = os.environ["AWS_LAMBDA_FUNCTION_VERSION"]
        self.memory_limit_in_mb = os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.log_group_name = os.environ["AWS_LAMBDA_LOG_GROUP_NAME"]
        self.log_stream_name = os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]
        region = os.environ["AWS_REGION"]
        self.invoked_function_arn = f"arn:aws:lambda:{region}:123456789012:function:" + (
            self.function_name
        )

    def get_remaining_time_in_millis(self) -> int:
        """Say how long (ms) this invocation may still take."""
        return max(0, int((self._deadline - time.time()) * 1000))


def main() -> None:
    """Import the handler, then run it for every event that comes."""
    channel, leash = (socket.socket(fileno=int(number)) for number in sys.argv[1:3])
    threading.Thread(target=_end_with_the_gateway, args=(leash,), daemon=True).start()
    module, _, name = os.environ["_HANDLER"].rpartition(".")
    try:
        handler = getattr(importlib.import_module(module), name)
    except BaseException as error:  # noqa: BLE001 - whatever it is, the invoker learns of it
        traceback.print_exc()
        kind = type(error).__name__
        _send(channel, {"init_error": _error("Runtime." + kind, str(error), "", error)})
        return
    _send(channel, {"ready": True})
    while (message := _receive(channel)) is not None:
        _send(channel, {**_run(handler, message), "memory_mb": _most_memory_mb()})


def _most_memory_mb() -> int:
    # Kilobytes on Linux, bytes on macOS.
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most // (1024**2 if sys.platform == "darwin" else 1024)


def _run(handler: Callable[[Any, Context], Any], message: dict[str, Any]) -> dict[str, Any]:
    request_id = message["id"]
    os.environ["_X_AMZN_TRACE_ID"] = message["trace"]
    try:
        answer = handler(message["event"], Context(request_id, message["deadline"]))
    except Exception as error:  # noqa: BLE001 - a function's failure is an answer here
        traceback.print_exc()
        return {"error": _error(type(error).__name__, str(error), request_id, error)}
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    try:
        return {"answer": json.dumps(answer)}
    except (TypeError, ValueError) as error:
        return {"error": _error("Runtime.MarshalError", str(error), request_id, error)}


def _error(kind: str, text: str, request_id: str, error: BaseException) -> dict[str, Any]:
    return {
        "errorMessage": text,
        "errorType": kind,
        "requestId": request_id,
        "stackTrace": traceback.format_tb(error.__traceback__),
    }


def _send(channel: socket.socket, message: dict[str, Any]) -> None:
    raw = json.dumps(message).encode()
    channel.sendall(_LENGTH.pack(len(raw)) + raw)


def _receive(channel: socket.socket) -> dict[str, Any] | None:
    head = _read(channel, _LENGTH.size)
    if head is None:
        return None
    raw = _read(channel, _LENGTH.unpack(head)[0])
    return None if raw is None else json.loads(raw)


def _read(channel: socket.socket, size: int) -> bytes | None:
    parts: list[bytes] = []
    while size:
        part = channel.recv(min(size, 1 << 20))
        if not part:
            return None
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _end_with_the_gateway(leash: socket.socket) -> None:
    leash.recv(1)
    os._exit(0)


if __name__ == "__main__":
    main()
