"""One stack, started by its own command, for all tests that need the whole product running."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

CACHE = Path(__file__).parents[3] / ".local" / "cache"
AURION = Path(sys.executable).with_name("aurion")
START_S = 180.0


@dataclass(frozen=True)
class RunningStack:
    """A product that `aurion up` keeps running in a directory of its own."""

    home: Path
    process: subprocess.Popen[bytes]

    @property
    def state(self) -> dict[str, Any]:
        return json.loads((self.home / "state.json").read_text())

    def run(
        self, *arguments: str, stdin: str = "", environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return run_aurion(self.home, *arguments, stdin=stdin, environment=environment)


def run_aurion(
    home: Path, *arguments: str, stdin: str = "", environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does, in a state directory."""
    return subprocess.run(
        [AURION, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=300,
        env={**command_environment(home), **(environment or {})},
        check=False,
    )


def command_environment(home: Path) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "AURION_HOME": str(home),
        "AURION_CACHE": str(CACHE),
        "COLUMNS": "200",
    }


def start_up(home: Path, *options: str) -> RunningStack:
    """Start `aurion up` and wait until the whole stack is there."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A run in a shell's background is born deaf to Ctrl-C, and so would be what it starts.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    home.mkdir(parents=True, exist_ok=True)
    output = home.with_suffix(".out")
    with output.open("wb") as log:
        process = subprocess.Popen(
            [AURION, "up", *options], stdout=log, stderr=log, env=command_environment(home)
        )
    deadline = time.monotonic() + START_S
    while not _is_up(home, process.pid):
        if process.poll() is not None or time.monotonic() > deadline:
            process.terminate()
            process.wait(30)
            raise AssertionError(output.read_text())
        time.sleep(0.1)
    return RunningStack(home, process)


def _is_up(home: Path, owner: int) -> bool:
    # A killed run's state can lie there still.
    path = home / "state.json"
    return path.exists() and json.loads(path.read_text())["owner"]["pid"] == owner


def stop(stack: RunningStack, how: signal.Signals = signal.SIGTERM) -> int:
    """End the command and give its status."""
    stack.process.send_signal(how)
    return stack.process.wait(120)


def alive(processes: list[dict[str, object]]) -> list[object]:
    """Name those of the processes that still run."""
    names: list[object] = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            if psutil.Process(int(str(process["pid"]))).status() != psutil.STATUS_ZOMBIE:
                names.append(process["name"])
    return names


@dataclass(frozen=True)
class KilledRun:
    """A run that was killed: what its state said, what outlived it, what a doctor says of it."""

    home: Path
    state: dict[str, Any]
    outlived: list[object]
    examined: subprocess.CompletedProcess[str]


@pytest.fixture(scope="session")
def killed_run(run_directory: Path) -> KilledRun:
    """The run before the one that the tests use."""
    first = start_up(run_directory / "home")
    state = first.state
    first.process.kill()
    first.process.wait(10)
    outlived = alive([p for p in state["processes"] if p["name"] in {"postgres", "moto"}])
    return KilledRun(first.home, state, outlived, run_aurion(first.home, "doctor"))


@pytest.fixture(scope="session")
def stack(killed_run: KilledRun) -> Iterator[RunningStack]:
    """The whole product, running; tests that use it share it, so they clean up after themselves."""
    running = start_up(killed_run.home)
    yield running
    started = running.state["processes"]
    assert stop(running, signal.SIGINT) == 0
    assert not alive(started)
    assert not (running.home / "state.json").exists()
    assert not (running.home / "postgres").exists()
