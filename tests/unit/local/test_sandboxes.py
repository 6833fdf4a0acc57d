"""A process that something was broken off in is ended: nobody gets what another was waiting for."""

import asyncio
import json
import os
from pathlib import Path

import psutil
import pytest
from aurion import function_table

from local.gateway import environments
from local.gateway.sandboxes import Code, Sandboxes
from tests.gateways import add_function

NOTES_ITS_ID = """
import os, time
print(os.getpid(), file=open("pids", "a"), flush=True)
"""
SLEEPS = """
def handler(event, context):
    open("began", "a").close()
    time.sleep(event["seconds"])
    return event["seconds"]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "sleeper"


def sandboxes(folder: Path, source: str) -> Sandboxes:
    add_function(folder.parent, folder.name, source, timeout_s=1)
    (function,) = function_table.read(folder.parent / "functions.toml").functions
    return Sandboxes(
        function,
        folder=folder,
        shared=Code(folder),
        environment=environments.of_function(function, {**os.environ, "AWS_REGION": "eu-west-3"}),
        log=folder.parent / "log",
        most_processes=2,
        reload=False,
    )


def alive(folder: Path) -> list[bool]:
    return [psutil.pid_exists(int(pid)) for pid in (folder / "pids").read_text().split()]


async def test_a_process_is_kept_until_it_is_late(folder: Path) -> None:
    running = sandboxes(folder, NOTES_ITS_ID + SLEEPS)
    for _ in range(2):
        assert json.loads((await running.invoke({"seconds": 0})).payload) == 0
    assert alive(folder) == [True]
    assert (await running.invoke({"seconds": 60})).timed_out
    assert alive(folder) == [False]
    assert json.loads((await running.invoke({"seconds": 0.1})).payload) == 0.1
    assert alive(folder) == [False, True]
    await running.close()
    assert alive(folder) == [False, False]


async def test_an_invocation_that_nobody_waits_for_takes_its_process_along(folder: Path) -> None:
    running = sandboxes(folder, NOTES_ITS_ID + SLEEPS)
    waiting = asyncio.create_task(running.invoke({"seconds": 60}))
    while not (folder / "began").exists():
        await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert alive(folder) == [False]


async def test_a_process_that_could_not_begin_is_not_left(folder: Path) -> None:
    running = sandboxes(folder, NOTES_ITS_ID + "import nothing_of_the_kind")
    outcome = await running.invoke({})
    assert outcome.failed
    assert json.loads(outcome.payload)["errorType"] == "Runtime.ModuleNotFoundError"
    assert alive(folder) == [False]
