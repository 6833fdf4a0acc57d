"""Keep ECS from ending a task that has calls, and end it by itself when its time has come.

Fargate kills a stopping task two minutes after it was told, and a call lasts up to two hours. So a
task protects itself before it accepts a call, for longer than any call, and renews that while it is
busy. A protected task is never told to stop, though: replaced by a newer release it would go on
taking calls for ever. So it looks itself whether it has been replaced, takes no more calls then,
waits for those it has, and leaves.

Source: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-scale-in-protection.html
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self

import httpx2
from aurion import aws
from aurion.aws import AwsRefused

logger = logging.getLogger(__name__)

PROTECTED_MIN = 125
"""Minutes that one request protects for: the longest call, and time to put its recording away."""

_RENEW_S = 1800.0
_AGENT_S = 2.0
_TICK_S = 15.0
_LOOK_S = 60.0
# From the acceptance of a call until its process shows up among the active ones.
_ACCEPTED_S = 60.0


class Worker(Protocol):
    """What of the worker this needs; the framework's server has it."""

    @property
    def active_jobs(self) -> list[Any]:
        """The calls it has."""
        ...

    async def drain(self, timeout: int | None = ...) -> None:
        """Take no more calls and wait for those it has."""
        ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where a task runs: its agent's address, its cluster and service, its own task definition."""

    agent: str
    cluster: str
    service: str
    task_definition: str

    @classmethod
    async def find(cls, environment: Mapping[str, str]) -> Self | None:
        """Ask the metadata that every task has; None outside of ECS, or in no service.

        Raises:
            httpx2.HTTPError: The metadata does not answer.
        """
        agent = environment.get("ECS_AGENT_URI")
        metadata = environment.get("ECS_CONTAINER_METADATA_URI_V4")
        if not agent or not metadata:
            return None
        async with _agent() as client:
            answer = await client.get(f"{metadata}/task")
        task: dict[str, Any] = answer.raise_for_status().json()
        if "ServiceName" not in task:
            return None
        return cls(
            agent=agent,
            cluster=task["Cluster"],
            service=task["ServiceName"],
            task_definition=f"{task['Family']}:{task['Revision']}",
        )


class Guard:
    """Guard one task; `leave` is called once it has been replaced and its last call is over."""

    def __init__(
        self,
        worker: Worker,
        place: Place,
        *,
        leave: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._worker = worker
        self._place = place
        self._leave = leave
        self._clock = clock
        self._one_at_a_time = asyncio.Lock()
        self._protected_at: float | None = None
        self._accepted_at = float("-inf")
        self._looked_at = float("-inf")
        self._draining: asyncio.Task[None] | None = None
        self._left = False
        self._failures = 0

    @property
    def protected(self) -> bool:
        """ECS has said that it won't end this task."""
        return self._protected_at is not None

    def take_failures(self) -> int:
        """Count the requests that ECS refused or did not answer since this was last asked."""
        failures, self._failures = self._failures, 0
        return failures

    async def before_accepting(self) -> bool:
        """Protect the task, before a call is accepted; False when ECS did not agree.

        The call is answered all the same: it only ends early if a release comes in the same minute.
        """
        async with self._one_at_a_time:
            self._accepted_at = self._clock()
            if not self._has_to_renew():
                return True
            return await self._set(protected=True)

    async def run(self) -> None:
        """Guard the task until it has left."""
        while not self._left:
            await self.tick()
            await asyncio.sleep(_TICK_S)

    async def tick(self) -> None:
        """Do what is due: renew, let go, look for a newer release, leave."""
        async with self._one_at_a_time:
            if self._is_busy():
                if self._has_to_renew():
                    await self._set(protected=True)
            elif self.protected:
                await self._set(protected=False)
        if self._draining is None:
            await self._look()
        elif self._draining.done() and not self._is_busy():
            self._left = True
            self._leave()

    def _is_busy(self) -> bool:
        accepted_s = self._clock() - self._accepted_at
        return bool(self._worker.active_jobs) or accepted_s < _ACCEPTED_S

    def _has_to_renew(self) -> bool:
        return self._protected_at is None or self._clock() - self._protected_at >= _RENEW_S

    async def _look(self) -> None:
        if self._clock() - self._looked_at < _LOOK_S:
            return
        # Not all tasks of a cluster at the same moment.
        self._looked_at = self._clock() + random.uniform(-5, 5)
        newest = await asyncio.to_thread(_newest, self._place.cluster, self._place.service)
        if newest is None or newest == self._place.task_definition:
            return
        logger.info("replaced by a newer release: no more calls", extra={"newest": newest})
        self._draining = asyncio.create_task(self._drain())
        async with self._one_at_a_time:
            await self._set(protected=True)

    async def _drain(self) -> None:
        with contextlib.suppress(TimeoutError):
            await self._worker.drain(timeout=PROTECTED_MIN * 60)

    async def _set(self, *, protected: bool) -> bool:
        wish: dict[str, Any] = {"ProtectionEnabled": protected}
        if protected:
            wish["ExpiresInMinutes"] = PROTECTED_MIN
        try:
            async with _agent() as client:
                answer = await client.put(
                    f"{self._place.agent}/task-protection/v1/state", json=wish
                )
            said = answer.json()
        except (httpx2.HTTPError, ValueError):
            said = {}
        granted = said.get("protection", {}).get("ProtectionEnabled")
        if granted is not protected:
            self._failures += 1
            reason = said.get("failure", {}).get("Reason") or said.get("error", {}).get("Code")
            logger.warning(
                "ECS did not change the protection", extra={"wish": protected, "reason": reason}
            )
            return False
        self._protected_at = self._clock() if protected else None
        return True


def _agent() -> httpx2.AsyncClient:
    # Plain HTTP on the task's own link; no proxy of an environment may come between.
    return httpx2.AsyncClient(timeout=_AGENT_S, trust_env=False)


def _newest(cluster: str, service: str) -> str | None:
    """Return the task definition (family:revision) that a service is moving to; None if unknown."""
    client = aws.client("ecs", connect_s=3, read_s=5, attempts=2)
    try:
        found = aws.call(client, "describe_services", cluster=cluster, services=[service])
    except AwsRefused as refusal:
        logger.warning("a service can't be looked at", extra={"code": refusal.code})
        return None
    for deployment in found["services"][0]["deployments"] if found["services"] else []:
        if deployment["status"] == "PRIMARY":
            return str(deployment["taskDefinition"]).rpartition("/")[2]
    return None
