"""A task is protected before it has a call and for as long; once replaced, it leaves by itself."""

import asyncio
from collections.abc import Iterator

import pytest
from aurion.settings import settings

from agent_container.ecs_guard import PROTECTED_MIN, Guard, Place
from local.aws import Aws
from tests.ecs_services import CLUSTER, Service
from tests.providers.ecs_agent import EcsAgent


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Calls:
    """A worker as the framework has it: its calls, and a drain that waits for them."""

    def __init__(self) -> None:
        self.active_jobs: list[object] = []
        self.drained_for: int | None = None

    async def drain(self, timeout: int | None = None) -> None:
        self.drained_for = timeout
        while self.active_jobs:
            await asyncio.sleep(0.01)


@pytest.fixture
def service(aws: Aws) -> Iterator[Service]:
    with Service(aws) as running:
        settings.cache_clear()
        yield running


@pytest.fixture
def agent(service: Service) -> Iterator[EcsAgent]:
    with service.agent() as agent:
        yield agent


class Task:
    """A guard with everything around it."""

    def __init__(self, agent: EcsAgent, place: Place) -> None:
        self.agent, self.calls, self.clock = agent, Calls(), Clock()
        self.left = 0
        self.guard = Guard(self.calls, place, leave=self._leave, clock=self.clock)

    def _leave(self) -> None:
        self.left += 1

    async def later(self, seconds: float) -> None:
        self.clock.now += seconds
        await self.guard.tick()


@pytest.fixture
async def task(agent: EcsAgent) -> Task:
    place = await Place.find(agent.environment())
    assert place is not None
    return Task(agent, place)


async def test_place_is_what_the_metadata_says(agent: EcsAgent, service: Service) -> None:
    place = await Place.find(agent.environment())
    assert place == Place(
        agent=agent.environment()["ECS_AGENT_URI"],
        cluster=CLUSTER,
        service=service.name,
        task_definition=f"{service.name}:1",
    )
    assert await Place.find({}) is None
    del agent.task["ServiceName"]  # a task that was run by hand
    assert await Place.find(agent.environment()) is None


async def test_task_is_protected_before_a_call_and_until_it_is_over(
    task: Task, service: Service
) -> None:
    await task.later(0)
    assert task.agent.take_asked() == []
    assert await task.guard.before_accepting()
    assert task.agent.protected, "before the call is accepted, not after"
    assert task.agent.take_asked() == [True]
    await task.later(15)  # accepted, but no process has it yet
    assert task.agent.protected
    task.calls.active_jobs = ["call"]
    await task.later(600)
    assert await task.guard.before_accepting()
    assert task.agent.take_asked() == [], "once is enough for two calls"
    await task.later(1800)
    assert task.agent.take_asked() == [True], "renewed, long before it ends"
    task.calls.active_jobs = []
    await task.later(15)
    assert not task.agent.protected
    assert task.agent.take_asked() == [False]
    await task.later(15)
    assert task.agent.take_asked() == []


def test_protection_outlasts_the_longest_call() -> None:
    assert 120 < PROTECTED_MIN <= 2880


@pytest.mark.parametrize("trouble", ["blocked", "denied"])
async def test_refused_protection_is_asked_for_again_and_counted(
    task: Task, service: Service, trouble: str
) -> None:
    setattr(task.agent, trouble, True)
    assert not await task.guard.before_accepting()
    task.calls.active_jobs = ["call"]
    await task.later(15)
    assert not task.guard.protected
    assert task.guard.take_failures() == 2
    setattr(task.agent, trouble, False)
    await task.later(15)
    assert task.agent.protected
    assert task.guard.take_failures() == 0


async def test_endpoint_that_does_not_answer_holds_no_call_up(service: Service) -> None:
    with service.agent() as agent:
        place = await Place.find(agent.environment())
    assert place is not None
    task = Task(agent, place)
    async with asyncio.timeout(3):
        assert not await task.guard.before_accepting()
    assert task.guard.take_failures() == 1


async def test_replaced_task_finishes_its_calls_and_leaves(task: Task, service: Service) -> None:
    task.calls.active_jobs = ["call"]
    await task.later(0)
    task.agent.take_asked()
    service.release()
    await task.later(120)
    assert task.agent.take_asked() == [True], "ECS keeps away until the calls are over"
    await asyncio.sleep(0.05)
    assert task.calls.drained_for == PROTECTED_MIN * 60, "no more calls are taken"
    await task.later(3600)
    assert task.agent.protected
    assert task.left == 0
    task.calls.active_jobs = []
    await asyncio.sleep(0.05)
    await task.later(15)
    assert task.left == 1
    assert not task.agent.protected


async def test_idle_task_that_was_replaced_leaves_at_once(task: Task, service: Service) -> None:
    service.release()
    await task.later(60)
    await asyncio.sleep(0.05)
    await task.later(15)
    assert task.left == 1


async def test_service_that_cannot_be_looked_at_changes_nothing(
    task: Task, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No such cluster, then nobody there at all.
    for endpoint in (aws.endpoint, "http://127.0.0.1:9"):
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        settings.cache_clear()
        await task.later(120)
        assert task.calls.drained_for is None
    monkeypatch.undo()
    settings.cache_clear()
