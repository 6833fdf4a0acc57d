"""Start and stop the gateway as a process of its own."""

import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from local.gateway import environments

START_S = 30.0
_STOP_S = 5.0


class GatewayNotStarted(RuntimeError):
    """The gateway did not start; gateway.out among its logs says why."""


@dataclass(frozen=True, slots=True)
class GatewayProcess:
    """A running gateway; `url` is its address, to which boto3's lambda client can be pointed."""

    url: str
    process: subprocess.Popen[str]

    @property
    def hooks_url(self) -> str:
        """The public base of the hooks' routes, the stage included: what senders sign."""
        return hooks_url(self.url)

    def stop(self) -> None:
        """Have it end its functions' processes, then itself."""
        self.process.terminate()
        try:
            self.process.wait(timeout=_STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


def hooks_url(url: str) -> str:
    """Give the hooks' base at a gateway's address."""
    return f"{url}/{environments.STAGE}"


def start_gateway(
    logs: Path,
    *,
    environment: Mapping[str, str],
    port: int = 0,
    functions: Path | None = None,
    warm: Sequence[str] = (),
    triggers: bool = True,
    reload: bool = True,
    soonest_s: float | None = None,
    base64_always: bool = False,
    most_processes: int | None = None,
) -> GatewayProcess:
    """Start a gateway over a folder of functions and wait until it serves.

    `environment` is the whole stack's. Without `triggers` nothing wakes a function but a request.
    With `reload` a function's changed sources serve its next request.
    With `soonest_s` a schedule of a minute has its turn after so long. It ends with this process.
    Raises `GatewayNotStarted`.
    """
    logs.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = functions or environments.checkout_functions()
    command = [sys.executable, "-m", "local.gateway", "--follow-parent"]
    command += ["--functions", str(folder), "--logs", str(logs), "--port", str(port)]
    command += [word for name in warm for word in ("--warm", name)]
    command += [] if triggers else ["--no-triggers"]
    command += [] if reload else ["--no-reload"]
    command += [] if soonest_s is None else ["--soonest-s", str(soonest_s)]
    command += ["--base64"] if base64_always else []
    command += [] if most_processes is None else ["--most-processes", str(most_processes)]
    with (logs / "gateway.out").open("a") as errors:
        process = subprocess.Popen(
            command,
            cwd=Path(__file__).parents[2],
            env=dict(environment),
            start_new_session=True,  # Ctrl-C reaches the starter, which ends its calls first
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    return GatewayProcess(_wait(process), process)


def _wait(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    deadline = time.monotonic() + START_S
    url = ""
    for line in process.stdout:
        if line.startswith("http://"):
            url = line.strip()
        if line.strip() == "ready" and url:
            return url
        if time.monotonic() > deadline:
            break
    process.kill()
    process.wait()
    raise GatewayNotStarted
