"""Start and stop the demo desk as a process of its own."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

START_S = 20.0


class DeskNotStarted(RuntimeError):
    """The demo desk did not start; its .log file beside the data says why."""


@dataclass(frozen=True, slots=True)
class DeskProcess:
    """A running desk."""

    base_url: str
    token: str
    process: subprocess.Popen[str]

    @property
    def port(self) -> int:
        """The port on loopback."""
        return int(self.base_url.rpartition(":")[2])

    def stop(self) -> None:
        """Ask the desk to stop and wait until it has."""
        self.process.terminate()
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self._close()

    def kill(self) -> None:
        """End the desk at once, as a power cut would."""
        self.process.kill()
        self._close()

    def fault(self, kind: str, path: str = "/api/", **details: Any) -> None:
        """Switch a trouble on (see `faults.KINDS`); the desk must allow faults."""
        body = {"kind": kind, "path": path, **details}
        httpx2.post(
            f"{self.base_url}/faults", json=body, headers=self._headers, trust_env=False
        ).raise_for_status()

    def clear_faults(self) -> None:
        """Switch all troubles off."""
        httpx2.delete(
            f"{self.base_url}/faults", headers=self._headers, trust_env=False
        ).raise_for_status()

    @property
    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def _close(self) -> None:
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


def start_desk(
    data: Path,
    token: str,
    port: int | None = None,
    *,
    faults: bool = False,
    follow_parent: bool = True,
    environment: Mapping[str, str] | None = None,
) -> DeskProcess:
    """Start a desk on its file and wait until it listens.

    Without a port it takes a free one. It ends with this process unless `follow_parent` is off, and
    has this process's environment unless it is given its own.
    Raises `DeskNotStarted`.
    """
    data.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "local.desk", "--data", str(data)]
    command += ["--port", str(port or 0)]
    command += ["--allow-faults"] if faults else []
    command += ["--follow-parent"] if follow_parent else []
    with data.with_suffix(".log").open("a") as log:
        process = subprocess.Popen(
            command,
            cwd=Path(__file__).parents[2],
            # Not among the arguments, which every account of the machine can read.
            env={**(os.environ if environment is None else environment), "DESK_TOKEN": token},
            start_new_session=True,  # Ctrl-C reaches the starter, which ends its calls first
            stdin=subprocess.PIPE if follow_parent else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    base_url = _wait(process)
    return DeskProcess(base_url=base_url, token=token, process=process)


def _wait(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    deadline = time.monotonic() + START_S
    base_url = ""
    for line in process.stdout:
        if line.startswith("http://"):
            base_url = line.strip()
        if line.strip() == "ready" and base_url:
            return base_url
        if time.monotonic() > deadline:
            break
    process.kill()
    process.wait()
    raise DeskNotStarted
