"""Agents that are killed under a caller, and callers to whom none comes: how long is it silent?"""

import asyncio
import secrets
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

import httpx2
from aurion import calls, database
from aurion import secrets as stored
from aurion.calls import Call
from aurion.settings import settings
from aurion.signatures import sign_twilio

from local import telephone
from tests.hooked_calls import CALLED, CALLING, Hooks, hooks_of
from tests.livekit_server import LiveKitServer
from tests.recorded_calls import CALLERS
from tests.room_calls import PhoneCaller, Worker
from tests.typed_calls import Company

ALICE = sorted((CALLERS / "alice").glob("*.wav"))


@dataclass(slots=True)
class Silences:
    """Seconds, one for each time: from a kill, or a caller's coming, until they heard something."""

    after_job: list[float] = field(default_factory=list)
    after_worker: list[float] = field(default_factory=list)
    without_agent: list[float] = field(default_factory=list)


def measure(company: Company, folder: Path, speech_socket: Path, *, times: int) -> Silences:
    """Kill three agents in each of some calls, as many workers as calls, and have none as often."""
    found = Silences()
    environment = {"SPEECH_SOCKET": str(speech_socket)}
    for number in range(times):
        with ExitStack() as running:
            parts = folder / str(number)
            livekit = running.enter_context(LiveKitServer(_made(parts) / "livekit.log"))
            workers = [
                running.enter_context(Worker(livekit, _made(parts / name), environment))
                for name in ("one", "other")
            ]
            found.after_job += asyncio.run(_kill_jobs(company, livekit, workers))
            found.after_worker.append(asyncio.run(_kill_worker(company, livekit, workers)))
        with hooks_of(company, _made(folder / f"hooks{number}"), triggers=True) as hooks:
            found.without_agent.append(asyncio.run(wait_for_offer(company, hooks))[0])
    return found


def ring(company: Company) -> tuple[Call, str]:
    """Note a call that rings, as the telephone side's request does."""
    token = secrets.token_urlsafe(24)
    with database.tenant_transaction(company.tenant.tenant_id) as conn:
        call = calls.start(conn, channel="phone", calling_number=CALLING, token=token)
    return call, token


def phone(livekit: LiveKitServer, company: Company, token: str) -> PhoneCaller:
    return PhoneCaller(livekit, token=token, tenant_id=str(company.tenant.tenant_id))


async def silence_after(kill: Callable[[], None], caller: PhoneCaller) -> float:
    """Kill whoever serves a caller; seconds until somebody else is heard."""
    killed_at = time.perf_counter()
    kill()
    heard_s = await caller.heard_after(killed_at)
    await caller.turn_given()
    return heard_s


async def wait_for_offer(company: Company, hooks: Hooks) -> tuple[float, ElementTree.Element]:
    """Call while no worker runs; seconds from coming into the room until there is an offer."""
    line = await asyncio.to_thread(telephone.ring, dialled_number=CALLED, calling_number=CALLING)
    async with phone(hooks.voice, company, line.token) as caller:
        async with asyncio.timeout(60):
            await caller.hung_up.wait()
        said = await asyncio.to_thread(end_of_dial, line)
        return time.perf_counter() - caller.joined_at, said


def end_of_dial(line: telephone.Line) -> ElementTree.Element:
    """Tell that the dialled line is over, its caller still there; read what is to come."""
    assert line.action is not None
    form = {**line.form, "CallStatus": "in-progress", "DialCallStatus": "completed"}
    token = stored.get_fields(settings().twilio_secret, "auth_token")["auth_token"]
    signature = sign_twilio(line.action, list(form.items()), auth_token=token)
    answer = httpx2.post(
        line.action, data=form, headers={"X-Twilio-Signature": signature}, timeout=15
    )
    assert answer.status_code == 200, answer.text
    return ElementTree.fromstring(answer.content)


async def _kill_jobs(
    company: Company, livekit: LiveKitServer, workers: list[Worker]
) -> list[float]:
    _, token = ring(company)
    async with phone(livekit, company, token) as alice:
        await alice.greeting()
        await alice.turn_given()
        for file in ALICE[:2]:  # name and badge
            await alice.say(file)
        return [await silence_after(lambda: _busy(workers).kill_call(), alice) for _ in range(3)]


async def _kill_worker(company: Company, livekit: LiveKitServer, workers: list[Worker]) -> float:
    async with asyncio.timeout(30):
        while any(worker.active_calls() for worker in workers):
            await asyncio.sleep(0.2)
    _, token = ring(company)
    async with phone(livekit, company, token) as alice:
        await alice.greeting()
        await alice.turn_given()
        return await silence_after(_busy(workers).kill, alice)


def _busy(workers: list[Worker]) -> Worker:
    return next(worker for worker in workers if worker.active_calls())


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
