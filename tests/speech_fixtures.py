"""One real speech server for a test run, shared by all its workers."""

import os
import socket as sockets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from agent_container.speech.client import SpeechClient
from agent_container.speech.process import SpeechProcess, start_speech

CACHE = Path(__file__).parents[1] / ".local" / "cache"
PATIENCE_S = 120.0  # the tests of a busy machine fail on what is wrong, not on what is slow
_IDLE_EXIT_S = 5.0


@pytest.fixture(scope="session")
def speech_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SpeechProcess]:
    """The run's speech server, started by whichever worker needs it first."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    process = start_speech(folder / "speech.sock", CACHE, idle_exit_s=_IDLE_EXIT_S)
    # It ends when nobody is connected: each worker holds a line until its last test is done.
    with sockets.socket(sockets.AF_UNIX) as line:
        line.connect(str(process.socket))
        yield process
    if "PYTEST_XDIST_WORKER" not in os.environ:
        process.stop()


@pytest.fixture
async def speech(speech_process: SpeechProcess) -> AsyncIterator[SpeechClient]:
    """A connected client of the run's speech server."""
    async with SpeechClient(speech_process.socket, timeout_s=PATIENCE_S) as client:
        yield client
