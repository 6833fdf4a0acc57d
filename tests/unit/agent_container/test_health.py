"""Ready is not alive: who may be given a call, and who has to be replaced."""

import asyncio
from pathlib import Path

import pytest

from agent_container.duties import models_answer
from agent_container.health import Condition, Health, ask, main
from agent_container.speech.client import SpeechClient


class Parts:
    """What a worker's health is made of, each part to be broken by itself."""

    def __init__(self) -> None:
        self.models = self.registered = True
        self.draining = False
        self.calls = 0

    def health(self) -> Health:
        return Health(
            models=self._models,
            registered=lambda: self.registered,
            draining=lambda: self.draining,
            calls=lambda: self.calls,
        )

    async def _models(self) -> bool:
        return self.models


async def test_worker_is_healthy_once_it_has_been_ready_and_while_it_lives() -> None:
    parts = Parts()
    parts.models = parts.registered = False
    health = parts.health()
    for models, registered in ((False, False), (True, False), (False, True)):
        parts.models, parts.registered = models, registered
        condition = await health.look()
        assert not condition.ready
        assert not condition.healthy, "it has never been ready"
    parts.models = parts.registered = True
    assert (await health.look()).healthy
    parts.registered = False
    condition = await health.look()
    assert (condition.ready, condition.alive, condition.healthy) == (False, True, True)
    parts.models = False
    condition = await health.look()
    assert (condition.alive, condition.healthy) == (False, False)


async def test_draining_worker_is_not_ready_and_is_healthy() -> None:
    parts = Parts()
    health = parts.health()
    await health.look()
    parts.draining, parts.calls = True, 3
    assert await health.look() == Condition(
        models=True, registered=True, draining=True, calls=3, was_ready=True
    )
    assert not (await health.look()).ready
    assert (await health.look()).healthy


async def test_speech_server_that_is_gone_is_noticed(tmp_path: Path) -> None:
    speech = SpeechClient(tmp_path / "nobody.sock")
    health = Health(
        models=lambda: models_answer(speech),
        registered=lambda: True,
        draining=lambda: False,
        calls=lambda: 0,
    )
    assert not (await health.look()).ready


async def test_check_asks_over_the_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "health.sock"
    monkeypatch.setenv("HEALTH_SOCKET", str(path))
    assert await asyncio.to_thread(main, []) == 1
    parts = Parts()
    serving = asyncio.create_task(parts.health().serve(path))
    while not path.exists():
        await asyncio.sleep(0.01)
    assert path.stat().st_mode & 0o077 == 0
    for question, code in (("", 0), ("ready", 0), ("alive", 0), ("nonsense", 1)):
        assert await asyncio.to_thread(main, [question] if question else []) == code
    parts.registered = False
    assert await asyncio.to_thread(main, ["ready"]) == 1
    assert await asyncio.to_thread(main, []) == 0
    assert (await asyncio.to_thread(ask, path))["registered"] is False
    serving.cancel()
    await asyncio.wait([serving])
    assert not path.exists()
    assert await asyncio.to_thread(main, []) == 1
    capsys.readouterr()
