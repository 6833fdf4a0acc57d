"""Whether this worker can take calls, and whether it lives: two questions with two answers.

A worker is *ready* when its models are loaded and the voice server knows it. It *lives* while its
event loop and its models answer. Run as `python -m agent_container.health`, this is the container's
health check: it passes once the worker has been ready, and then for as long as it lives. A voice
server that is away for a minute must not have every task replaced, with the calls in them.
"""

import asyncio
import contextlib
import json
import logging
import os
import socket
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path

logger = logging.getLogger(__name__)

SOCKET = "/var/lib/aurion/health.sock"
_ANSWER_S = 8.0
_MODELS_S = 5.0


@dataclass(frozen=True, slots=True)
class Condition:
    """What a worker says of itself; `was_ready` stays true once it has been."""

    models: bool
    registered: bool
    draining: bool
    calls: int
    was_ready: bool

    @property
    def ready(self) -> bool:
        """It can take a call."""
        return self.models and self.registered and not self.draining

    @property
    def alive(self) -> bool:
        """It can go on with the calls it has."""
        return self.models

    @property
    def healthy(self) -> bool:
        """The container need not be replaced."""
        return self.alive if self.was_ready else self.ready


class Health:
    """Answer on a socket of the container's own how this worker is."""

    def __init__(
        self,
        *,
        models: Callable[[], Awaitable[bool]],
        registered: Callable[[], bool],
        draining: Callable[[], bool],
        calls: Callable[[], int],
    ) -> None:
        self._models = models
        self._registered = registered
        self._draining = draining
        self._calls = calls
        self._was_ready = False

    async def look(self) -> Condition:
        """Ask every part how it is."""
        try:
            async with asyncio.timeout(_MODELS_S):
                models = await self._models()
        except TimeoutError:
            models = False
        condition = Condition(
            models=models,
            registered=self._registered(),
            draining=self._draining(),
            calls=self._calls(),
            was_ready=self._was_ready,
        )
        if condition.ready and not self._was_ready:
            logger.info("ready for calls")
            self._was_ready = True
            return await self.look()
        return condition

    async def serve(self, path: Path) -> None:
        """Answer whoever connects to a socket, until cancelled."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        listening = await asyncio.start_unix_server(self._answer, str(path))
        path.chmod(0o600)
        try:
            async with listening:
                await listening.serve_forever()
        finally:
            path.unlink(missing_ok=True)

    async def _answer(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            condition = await self.look()
            answers = {
                "ready": condition.ready,
                "alive": condition.alive,
                "healthy": condition.healthy,
            }
            writer.write(json.dumps({**asdict(condition), **answers}).encode() + b"\n")
            with contextlib.suppress(ConnectionError):
                await writer.drain()
        finally:
            writer.close()


def ask(path: Path) -> dict[str, bool | int]:
    """Ask a worker how it is; empty when it doesn't say."""
    said = b""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_ANSWER_S)
        connection.connect(str(path))
        while part := connection.recv(4096):
            said += part
    return json.loads(said) if said.endswith(b"\n") else {}


def main(arguments: list[str]) -> int:
    """Print how the worker is; 0 when it is what was asked for: healthy, ready or alive."""
    question = arguments[0] if arguments else "healthy"
    said = ask(Path(os.environ.get("HEALTH_SOCKET") or SOCKET))
    sys.stdout.write(json.dumps(said) + "\n")
    return 0 if said.get(question) is True else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
