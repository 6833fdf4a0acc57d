"""Start the speech server once for a machine, whoever asks first; find it when it runs already."""

import contextlib
import fcntl
import os
import socket as sockets
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from aurion import errors

START_S = 120.0
_SOCKET_PATH_BYTES = 100  # the kernel takes 108
# Threads that wait must not spin on cores that calls need, and need no heap each.
_ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "MALLOC_ARENA_MAX": "2",
}


@dataclass(slots=True)
class SpeechProcess:
    """Hold a running speech server; `stop` ends it only when this handle started it."""

    socket: Path
    pid: int
    _process: subprocess.Popen[str] | None = None

    @property
    def started(self) -> bool:
        """Tell whether this handle started the process, rather than found it."""
        return self._process is not None

    def stop(self) -> None:
        """End the server and wait for it."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def start_speech(
    socket: Path,
    cache: Path,
    *,
    idle_exit_s: float | None = None,
    log: IO[str] | None = None,
    timeout_s: float = START_S,
    environment: Mapping[str, str] | None = None,
) -> SpeechProcess:
    """Return a server that answers on the socket, started now unless one does already.

    It ends with the process that started it. With `idle_exit_s` it outlives that one instead, and
    ends when nobody has been connected for so long. It has this process's environment unless it is
    given its own.

    Raises:
        SpeechUnavailable: it did not become ready within `timeout_s`, or died; its log says why.
    """
    if len(os.fsencode(socket)) > _SOCKET_PATH_BYTES:
        raise errors.SpeechUnavailable("The path of the speech socket is too long for the system.")
    socket.parent.mkdir(parents=True, exist_ok=True)
    with _one_starter(socket):
        pid = listening(socket)
        if pid is not None:
            return SpeechProcess(socket, pid)
        return _start(
            socket,
            cache,
            idle_exit_s,
            log,
            timeout_s,
            os.environ if environment is None else environment,
        )


def listening(socket: Path) -> int | None:
    """Return the id of the process that listens on a socket, or None."""
    with sockets.socket(sockets.AF_UNIX) as connection, contextlib.suppress(OSError):
        connection.settimeout(2)
        connection.connect(str(socket))
        credentials = connection.getsockopt(sockets.SOL_SOCKET, sockets.SO_PEERCRED, 12)
        return int.from_bytes(credentials[:4], sys.byteorder)
    return None


def _start(
    socket: Path,
    cache: Path,
    idle_exit_s: float | None,
    log: IO[str] | None,
    timeout_s: float,
    environment: Mapping[str, str],
) -> SpeechProcess:
    command = [sys.executable, "-m", "agent_container.speech.server"]
    command += ["--socket", str(socket), "--cache", str(cache)]
    command += ["--stdin-exit"] if idle_exit_s is None else ["--idle-exit", str(idle_exit_s)]
    process = subprocess.Popen(  # noqa: S603  # our own module
        command,
        stdin=subprocess.PIPE if idle_exit_s is None else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        start_new_session=True,  # Ctrl+C reaches the starter, which ends its calls first
        env={**environment, **_ENVIRONMENT},
    )
    handle = SpeechProcess(socket, process.pid, process)
    until = time.monotonic() + timeout_s
    while time.monotonic() < until and process.poll() is None:
        if listening(socket) == process.pid:
            return handle
        time.sleep(0.05)
    handle.stop()
    raise errors.SpeechUnavailable


@contextlib.contextmanager
def _one_starter(socket: Path) -> Generator[None]:
    """Let one process at a time look for the server and start it."""
    with socket.with_name(socket.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
