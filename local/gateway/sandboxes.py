"""The processes of one function: started when needed, kept, ended when late or out of date."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import struct
import sys
import time
import uuid
from collections.abc import AsyncGenerator, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from aurion.function_table import Function

from local.gateway.events import trace_id

_LENGTH = struct.Struct("!I")
_IMPORT_S = 60.0  # Lambda allows 10 s; a busy laptop gets more

type _Fingerprint = tuple[tuple[str, int, int], ...]


class Code:
    """A folder of sources, and whether it is still as it was; looked at again after a moment."""

    def __init__(self, folder: Path, *, for_s: float = 0.0) -> None:
        self._folder = folder
        self._for_s = for_s
        self._seen_at = float("-inf")
        self._seen: _Fingerprint = ()

    def fingerprint(self) -> _Fingerprint:
        """Tell names, times and sizes of the files there."""
        if time.monotonic() - self._seen_at >= self._for_s:
            self._seen = tuple(_stamps(self._folder))
            self._seen_at = time.monotonic()
        return self._seen


class Throttled(Exception):
    """Every place of the function's reserved concurrency is taken."""


class FunctionUnknown(Exception):
    """The table has no such function."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one invocation.

    `payload` is the answer in JSON; with `failed` it describes the error. `cold_ms` is what
    starting a process took, `ran_ms` the function itself; `memory_mb` is the most its process has
    ever held.
    """

    payload: bytes
    failed: bool
    ran_ms: float
    cold_ms: float | None
    request_id: str
    timed_out: bool = False
    memory_mb: int | None = None


class _Died(Exception):
    """The process ended in the middle of an invocation."""


class _ImportFailed(Exception):
    def __init__(self, error: dict[str, Any]) -> None:
        self.error = error


@dataclass(slots=True, eq=False)
class _Sandbox:
    process: asyncio.subprocess.Process
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    leash: socket.socket
    code: _Fingerprint

    @classmethod
    async def start(
        cls, folder: Path, environment: Mapping[str, str], log: Path, code: _Fingerprint
    ) -> Self:
        """Start a process and wait until it has imported its handler."""
        ours, theirs = socket.socketpair()
        leash, their_leash = socket.socketpair()
        with theirs, their_leash, open(log, "ab", opener=_owner_only) as output:
            numbers = (theirs.fileno(), their_leash.fileno())
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "local.gateway.sandbox", *map(str, numbers)),
                cwd=folder,
                env=dict(environment),
                pass_fds=numbers,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for the gateway, which ends its sandboxes
            )
        reader, writer = await asyncio.open_connection(sock=ours)
        sandbox = cls(process, reader, writer, leash, code)
        async with sandbox.ended_if_broken_off():
            first = await asyncio.wait_for(sandbox._receive(), _IMPORT_S)
            if "init_error" in first:
                raise _ImportFailed(first["init_error"])
        return sandbox

    @contextlib.asynccontextmanager
    async def ended_if_broken_off(self) -> AsyncGenerator[None]:
        """End the process if what is asked of it doesn't come to its end, for whatever reason."""
        try:
            yield
        except BaseException:  # a cancellation too: nobody else may be given its answer
            await self.end()
            raise

    async def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        raw = json.dumps(message).encode()
        self.writer.write(_LENGTH.pack(len(raw)) + raw)
        return await self._receive()

    async def end(self) -> None:
        """End the process at once: nothing is left to be done between invocations."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.writer.close()
        self.leash.close()
        await self.process.wait()

    async def _receive(self) -> dict[str, Any]:
        try:
            head = await self.reader.readexactly(_LENGTH.size)
            return json.loads(await self.reader.readexactly(_LENGTH.unpack(head)[0]))
        except (asyncio.IncompleteReadError, ConnectionError):
            raise _Died from None


class Sandboxes:
    """All processes of one function.

    Each runs one invocation at a time; at most `most_processes` run on this machine, and what is
    more waits, until the function's reserved concurrency is used up. With `reload` a process whose
    sources have changed is not used again.
    """

    def __init__(
        self,
        function: Function,
        *,
        folder: Path,
        shared: Code,
        environment: Mapping[str, str],
        log: Path,
        most_processes: int,
        reload: bool,
    ) -> None:
        self.function = function
        self._reload = reload
        self._folder = folder
        self._own = Code(folder)
        self._shared = shared
        self._environment = environment
        self._log = log
        self._idle: list[_Sandbox] = []
        self._busy: set[_Sandbox] = set()
        self._invocations = 0
        self._places = asyncio.Semaphore(min(most_processes, function.reserved_concurrency))

    async def warm(self) -> None:
        """Have one process ready; a function that can't be imported says so when it is invoked."""
        async with self._places:
            if not self._idle:
                with contextlib.suppress(_ImportFailed, _Died, TimeoutError):
                    self._idle.append(await self._start())

    async def invoke(self, event: object) -> Outcome:
        """Run the function for an event; what goes wrong in it is an answer too.

        Raises:
            Throttled: Its reserved concurrency is used up.
        """
        if self._invocations >= self.function.reserved_concurrency:
            raise Throttled
        self._invocations += 1
        try:
            async with self._places:
                return await self._invoke(event, str(uuid.uuid4()))
        finally:
            self._invocations -= 1

    async def close(self) -> None:
        """End every process."""
        ending, self._idle = [*self._idle, *self._busy], []
        await asyncio.gather(*(sandbox.end() for sandbox in ending))

    async def _invoke(self, event: object, request_id: str) -> Outcome:
        began = time.monotonic()
        cold_ms = None
        try:
            sandbox = await self._current()
            if sandbox is None:
                sandbox = await self._start()
                cold_ms = (time.monotonic() - began) * 1000
        except _ImportFailed as failure:
            return _failed(failure.error, request_id, began)
        except (_Died, TimeoutError):
            return _failed(_runtime_error("Runtime.ExitError", request_id), request_id, began)
        began = time.monotonic()
        self._busy.add(sandbox)
        try:
            timeout = asyncio.timeout(self.function.timeout_s)
            async with sandbox.ended_if_broken_off(), timeout:
                answer = await sandbox.ask(
                    {
                        "event": event,
                        "id": request_id,
                        "trace": trace_id(datetime.now(UTC)),
                        "deadline": time.time() + self.function.timeout_s,
                    }
                )
        except TimeoutError:
            text = f"Task timed out after {self.function.timeout_s:.2f} seconds"
            error = _runtime_error("Sandbox.Timedout", request_id, text)
            return _failed(error, request_id, began, timed_out=True)
        except _Died:
            return _failed(_runtime_error("Runtime.ExitError", request_id), request_id, began)
        finally:
            self._busy.discard(sandbox)
        self._idle.append(sandbox)
        ran_ms = (time.monotonic() - began) * 1000
        if "error" in answer:
            payload, failed = json.dumps(answer["error"]).encode(), True
        else:
            payload, failed = answer["answer"].encode(), False
        memory_mb = answer["memory_mb"]
        return Outcome(payload, failed, ran_ms, cold_ms, request_id, memory_mb=memory_mb)

    async def _current(self) -> _Sandbox | None:
        """Take an idle process that runs today's code; end those that don't, or that have died."""
        code = self._code()
        while self._idle:
            sandbox = self._idle.pop()
            if sandbox.process.returncode is None and sandbox.code == code:
                return sandbox
            await sandbox.end()
        return None

    async def _start(self) -> _Sandbox:
        return await _Sandbox.start(self._folder, self._environment, self._log, self._code())

    def _code(self) -> _Fingerprint:
        return self._own.fingerprint() + self._shared.fingerprint() if self._reload else ()


def _stamps(folder: Path) -> Iterable[tuple[str, int, int]]:
    for directory, inner, files in os.walk(folder):
        inner[:] = sorted(name for name in inner if name != "__pycache__")
        for name in sorted(files):
            with contextlib.suppress(FileNotFoundError):
                found = os.stat(os.path.join(directory, name))
                yield name, found.st_mtime_ns, found.st_size


def _failed(
    error: dict[str, Any], request_id: str, began: float, *, timed_out: bool = False
) -> Outcome:
    ran_ms = (time.monotonic() - began) * 1000
    return Outcome(json.dumps(error).encode(), True, ran_ms, None, request_id, timed_out)


def _runtime_error(kind: str, request_id: str, text: str = "Runtime exited") -> dict[str, Any]:
    return {"errorType": kind, "errorMessage": f"RequestId: {request_id} Error: {text}"}


def _owner_only(path: str, flags: int) -> int:
    return os.open(path, flags, mode=0o600)
