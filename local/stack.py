"""The whole product on one machine: started in parallel, written down, stopped in order."""

import contextlib
import hashlib
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import Self
from uuid import UUID

from aurion import database as aurion_database
from aurion.settings import settings

from agent_container.speech.process import SpeechProcess, start_speech
from local import aws as local_aws
from local import processes, seed, state
from local.aws import Aws
from local.desk.process import DeskProcess, start_desk
from local.gateway.process import GatewayProcess, hooks_url, start_gateway
from local.postgres import Database, Postgres, can_be_reached_by_others, free_port
from local.processes import StartedProcess
from local.state import State

DATABASE = "aurion"
PARTS = (
    "database",
    "keys, storage, queues",
    "demo desk",
    "functions",
    "speech",
    "company and people",
    "agent",
)

_SOONEST_S = 5.0
"""How long a schedule of a minute lets wait here, where somebody sits and watches."""

_LONGEST_SOCKET_PATH = 90
"""Bytes; the system allows about a hundred for a socket's path."""

type Report = Callable[[str, str, float], None]
"""Told (part, "started" | "ready" | "failed", seconds) during the start, from several threads."""


class RealAccount(Exception):
    """The environment points at a real AWS account, which one machine's stack must never touch."""

    def __init__(self, variable: str) -> None:
        super().__init__(self.__doc__)
        self.variable = variable


class Stack:
    """Everything the product needs, as processes that end with this one.

    With `with_agent` this process is made ready to run calls while the rest comes up; with
    `durable` the database keeps what it has committed through a crash of its own. Entering it
    raises StackBusy while another command holds the state directory, and RealAccount when the
    environment names an account.
    """

    state: State

    def __init__(
        self,
        *,
        kept_running: bool = False,
        report: Report | None = None,
        with_agent: bool = False,
        durable: bool = False,
    ) -> None:
        self._kept_running = kept_running
        self._durable = durable
        self._with_agent = with_agent
        self._report: Report = report or (lambda part, event, seconds: None)
        self._postgres: Postgres | None = None
        self._aws: Aws | None = None
        self._desk: DeskProcess | None = None
        self._gateway: GatewayProcess | None = None
        self._speech: SpeechProcess | None = None
        self._processes: list[StartedProcess] = []
        self._held = ExitStack()
        self.left_behind: list[str] = []
        """Names of a killed run's processes, which were ended first."""

    def __enter__(self) -> Self:
        refuse_real_account(os.environ)
        self._held.callback(os.umask, os.umask(0o077))  # nothing here is for other accounts
        self._held.enter_context(state.claim())
        try:
            self.left_behind = [process.name for process in state.end_left_behind()]
            self.state = self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def _start(self) -> State:
        home = state.home()
        # Database, keys and desk begin together: what one remembers the others must know.
        for left in ("desk.sqlite", "desk.sqlite-wal", "desk.sqlite-shm"):
            (home / left).unlink(missing_ok=True)
        for left in ("logs", "tmp", "recordings", "providers"):
            _empty(home / left)
        with ThreadPoolExecutor(max_workers=len(PARTS)) as pool:
            database = self._run(pool, "database", self._start_database)
            cloud = self._run(pool, "keys, storage, queues", self._start_aws)
            desk = self._run(pool, "demo desk", self._start_desk)
            speech = self._run(pool, "speech", self._start_speech)

            def serve() -> GatewayProcess:
                return self._start_gateway({**cloud.result(), **database.result().environment()})

            functions = self._run(pool, "functions", serve)

            def plant() -> UUID:
                install_environment({**cloud.result(), **database.result().environment()})
                return seed.plant(desk.result().base_url, desk.result().token)

            planted = self._run(pool, "company and people", plant)
            if self._with_agent:
                # Seconds of importing, which the voice framework allows on the main thread only.
                self._timed("agent", lambda: import_module("local.calling"))
        environment = {
            **cloud.result(),
            **database.result().environment(),
            **_reach(functions.result().url),
            "AURION_HOME": str(home),
            "SPEECH_SOCKET": str(speech.result()),
        }
        install_environment(environment)
        running = State(
            owner=processes.mark("aurion", os.getpid()),
            kept_running=self._kept_running,
            processes=tuple(self._processes),
            environment=environment,
            tenant_id=str(planted.result()),
            desk_url=desk.result().base_url,
            desk_token=desk.result().token,
            speech_socket=str(speech.result()),
        )
        state.write(running)
        return running

    def _run[T](self, pool: ThreadPoolExecutor, part: str, start: Callable[[], T]) -> Future[T]:
        return pool.submit(self._timed, part, start)

    def _timed[T](self, part: str, start: Callable[[], T]) -> T:
        began = time.monotonic()
        self._report(part, "started", 0)
        try:
            result = start()
        except BaseException:
            self._report(part, "failed", time.monotonic() - began)
            raise
        self._report(part, "ready", time.monotonic() - began)
        return result

    def _start_database(self) -> Database:
        self._postgres = Postgres(database_directory(), durable=self._durable)
        self._postgres.remove()
        self._postgres.start()
        self._note("postgres", self._postgres.pid)
        return self._postgres.prepare_database(DATABASE)

    def _start_aws(self) -> dict[str, str]:
        self._aws = Aws(state.home() / "logs" / "aws.log").start()
        self._note("moto", self._aws.pid)
        return self._aws.provision()

    def _start_desk(self) -> DeskProcess:
        self._desk = start_desk(
            state.home() / "desk.sqlite",
            secrets.token_urlsafe(24),
            environment=child_environment(),
        )
        self._note("desk", self._desk.process.pid)
        return self._desk

    def _start_gateway(self, environment: Mapping[str, str]) -> GatewayProcess:
        port = free_port()  # known before it listens: its functions are told their own address
        self._gateway = start_gateway(
            state.home() / "logs",
            environment={
                **child_environment(),
                **environment,
                **_reach(f"http://127.0.0.1:{port}"),
                "ENVIRONMENT": "local",
            },
            port=port,
            warm=["twilio_voice"],  # the first caller shall not wait for it
            triggers=self._kept_running,
            soonest_s=_SOONEST_S,
            base64_always=True,  # as the deployed API hands bodies over
        )
        self._note("functions", self._gateway.process.pid)
        return self._gateway

    def _start_speech(self) -> Path:
        socket = speech_socket()
        with (state.home() / "logs" / "speech.log").open("a") as log:
            self._speech = start_speech(
                socket, state.cache(), log=log, environment=child_environment()
            )
        self._note("speech", self._speech.pid)
        return socket

    def _note(self, name: str, pid: int | None) -> None:
        assert pid is not None
        process = processes.mark(name, pid)
        state.note_process(process)
        self._processes.append(process)

    def _stop(self) -> None:
        """Stop in order: who asks first, who answers last; then let the directory go."""
        aurion_database.close_pools()
        for part in (self._gateway, self._speech, self._desk, self._aws):
            if part is not None:
                part.stop()
        if self._postgres is not None:
            self._postgres.remove()
        with contextlib.suppress(FileNotFoundError):
            state.forget()
        self._held.close()


def _reach(gateway: str) -> dict[str, str]:
    """Tell how the functions are reached: by vendors' requests, and by whoever invokes them."""
    return {"HOOKS_URL": hooks_url(gateway), "AWS_ENDPOINT_URL_LAMBDA": gateway}


def refuse_real_account(environment: Mapping[str, str]) -> None:
    """Raise RealAccount when the environment names a real AWS account or a server elsewhere."""
    variable = local_aws.looks_real(environment)
    if variable is not None:
        raise RealAccount(variable)


def child_environment() -> dict[str, str]:
    """Give a child only what it needs: no key of the shell that started us reaches it."""
    kept = ("PATH", "LANG", "LC_ALL", "VIRTUAL_ENV", "HOME")
    models = ("WHISPER_MODEL_DIR", "KOKORO_MODEL_DIR", "USE_MODEL_DIR")
    environment = {name: os.environ[name] for name in (*kept, *models) if name in os.environ}
    return {
        **environment,
        "AURION_HOME": str(state.home()),
        "TMPDIR": str(state.home() / "tmp"),
        "HF_HUB_OFFLINE": "1",
        "NO_PROXY": "127.0.0.1,localhost",
    }


def install_environment(environment: Mapping[str, str]) -> None:
    """Have this process, and the product in it, use a running stack."""
    for name in list(os.environ):
        if name.startswith("AWS_") and name not in environment:
            del os.environ[name]
    os.environ.update(environment)
    os.environ["NO_PROXY"] = "127.0.0.1,localhost"
    tempfile.tempdir = str(state.home() / "tmp")
    aurion_database.close_pools()
    settings.cache_clear()


def database_directory() -> Path:
    """Say where the database lies: with the state, or where its unprivileged account can go."""
    beside = state.home() / "postgres"
    beside.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if os.name == "posix" and os.geteuid() == 0:
        if not can_be_reached_by_others(state.home()):
            return _elsewhere() / "postgres"
        state.home().chmod(0o711)  # to pass through, not to look around in
    return beside


def speech_socket() -> Path:
    """Say where the speech server listens: a socket's path may not be long."""
    beside = state.home() / "speech.sock"
    if len(os.fsencode(beside)) <= _LONGEST_SOCKET_PATH:
        return beside
    return _elsewhere() / "speech.sock"


def _elsewhere() -> Path:
    name = hashlib.sha256(os.fsencode(state.home())).hexdigest()[:12]
    directory = Path("/tmp") / f"aurion-{os.getuid()}-{name}"  # noqa: S108 - its owner is checked
    directory.mkdir(mode=0o711, exist_ok=True)
    if directory.stat().st_uid != os.getuid() or directory.is_symlink():
        raise PermissionError(f"{directory} belongs to somebody else.")
    return directory


def _empty(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
