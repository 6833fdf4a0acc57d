"""What a worker owes its container: say how it is and how full, and that it must not be ended."""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import httpx2
from aurion.errors import SpeechUnavailable
from aurion.settings import settings
from livekit.agents import AgentServer

from agent_container import load
from agent_container.ecs_guard import Guard, Place
from agent_container.health import Health
from agent_container.load import Load
from agent_container.speech.client import SpeechClient

logger = logging.getLogger(__name__)

_PLACED_S = 2.0


class Duties:
    """Do them in the worker's parent process, beside its calls.

    Without HEALTH_SOCKET nobody asks how it is, and outside of ECS nobody ends it.
    """

    def __init__(self, server: AgentServer, *, agent_name: str, max_calls: int) -> None:
        self._server = server
        self._agent_name = agent_name
        self._max_calls = max_calls
        self._guard: Guard | None = None
        self._placed = asyncio.Event()
        self._speech: SpeechClient | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begin; the worker runs."""
        path = os.environ.get("HEALTH_SOCKET")
        if path:
            health = Health(
                models=self._models_answer,
                registered=self._is_registered,
                draining=lambda: self._server.draining,
                calls=lambda: len(self._server.active_jobs),
            )
            self._spawn(health.serve(Path(path)))
        self._spawn(self._be_guarded())

    async def before_accepting(self) -> None:
        """Have the task last as long as a call may, before it takes one."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._placed.wait(), _PLACED_S)
        if self._guard is not None:
            await self._guard.before_accepting()

    async def _be_guarded(self) -> None:
        while True:
            try:
                place = await Place.find(os.environ)
                break
            except httpx2.HTTPError:
                logger.warning("the task's metadata does not answer")
                await asyncio.sleep(1.0)
        if place is not None:
            self._guard = Guard(self._server, place, leave=_leave)
        self._placed.set()
        if self._guard is None:
            return
        self._spawn(
            load.publish(
                self._load, environment=settings().environment, agent_name=self._agent_name
            )
        )
        await self._guard.run()

    def _load(self) -> Load:
        return Load.of(
            len(self._server.active_jobs),
            places=self._max_calls,
            draining=self._server.draining,
            failures=0 if self._guard is None else self._guard.take_failures(),
        )

    def _is_registered(self) -> bool:
        # No public part of the framework; its version is pinned, and a test asks a real worker.
        return self._server.id != "unregistered" and not self._server._connecting

    async def _models_answer(self) -> bool:
        if self._speech is None:
            self._speech = SpeechClient(os.environ["SPEECH_SOCKET"])
        return await models_answer(self._speech)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def models_answer(speech: SpeechClient) -> bool:
    """Say whether the speech server, which has all models loaded once it listens, answers."""
    try:
        await speech.health()
    except SpeechUnavailable:
        return False
    return True


def _leave() -> None:
    # As ECS would end it: the framework closes everything in order, and the process is gone.
    os.kill(os.getpid(), signal.SIGTERM)
