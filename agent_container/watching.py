"""Watch over calls from the worker's parent process: its own, and those of workers that are gone.

The voice server itself notices a dead agent after 20 s, in which the caller would hear nothing.
"""

import asyncio
import logging
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from aurion import calls, database, live_calls, rooms
from aurion.errors import CallNotFound, DatabaseUnavailable, Unavailable
from aurion.live_calls import LiveCall
from aurion.rooms import Errand
from aurion.settings import settings
from livekit.agents import AgentServer
from livekit.agents.ipc.job_executor import JobExecutor, JobStatus
from livekit.agents.job import RunningJobInfo

from agent_container import leftovers

logger = logging.getLogger(__name__)

MOST_TRIES = 3
"""A call in which so many agents have died isn't given another one."""

_LOOK_EVERY_S = 0.5
# A look that took longer says that the database stalls, and so does every sign of life.
_PROMPT_S = 1.0
_LEFTOVERS_EVERY_S = 60.0
_NEVER_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Job:
    """What a job was started for."""

    errand: Errand
    call_id: UUID
    room: str
    identity: str

    @classmethod
    def of(cls, info: RunningJobInfo) -> "Job":
        """Read what a running job was started for."""
        identity = info.accept_arguments.identity
        errand, call_id = errand_of(info.job.metadata, identity)
        return cls(errand, call_id, info.job.room.name, identity)


def errand_of(metadata: str, identity: str) -> tuple[Errand, UUID]:
    """Read an accepted job's errand, and which call it is."""
    errand, call_id = Errand.from_json(metadata), rooms.call_of_agent(identity)
    assert errand is not None, "a job was accepted without an errand"
    assert call_id is not None, "a job was accepted under another identity"
    return errand, call_id


class Watch:
    """Watch over the calls of this worker and over those that lost theirs."""

    def __init__(self, server: AgentServer, *, agent_name: str, recordings: Path) -> None:
        self._server = server
        self._agent_name = agent_name
        self._recordings = recordings
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begin; the worker runs."""
        # No public part of the framework; its version is pinned, and a test kills a job.
        self._server._proc_pool.on("process_closed", self._process_closed)
        self._spawn(self._show_calls())
        # A company's own worker may not look at other companies' calls; the shared ones do.
        if settings().database_role == "aurion_app":
            self._spawn(self._look_after_others())
        self._spawn(self._bring_leftovers())

    def _process_closed(self, process: JobExecutor) -> None:
        """Send another agent when a process died in its call."""
        if process.running_job is None:
            return
        job = Job.of(process.running_job)
        if process.status is JobStatus.FAILED:
            self._spawn(self._replace(job))
        else:
            self._spawn(self._forget(job))

    async def _replace(self, job: Job) -> None:
        tries = job.errand.tries + 1
        if tries > MOST_TRIES:
            await self._give_up(job.call_id, job.room)
            await self._forget(job)
            return
        logger.error("a call has lost its agent", extra={"call": str(job.call_id)})
        errand = Errand(job.errand.tenant_id, resume=job.call_id, tries=tries)
        # Beside each other: no agent waits for the note, nor the note for an agent.
        await asyncio.gather(
            self._send(job.room, self._agent_name, errand, instead_of=job.identity),
            asyncio.to_thread(_lose, errand.tenant_id, job.call_id, tries),
        )

    async def _send(
        self, room: str, agent_name: str, errand: Errand, *, instead_of: str | None = None
    ) -> None:
        for _ in range(3):
            try:
                await rooms.send_agent(
                    room, agent_name=agent_name, errand=errand, instead_of=instead_of
                )
            except Unavailable:
                await asyncio.sleep(1.0)
            else:
                return
        logger.error("no agent can be sent", extra={"call": str(errand.resume)})

    async def _give_up(self, call_id: UUID, room: str) -> None:
        """Hang up: the telephone side then offers the caller what it can."""
        logger.error("a call has lost too many agents", extra={"call": str(call_id)})
        try:
            await rooms.end(room)
        except Unavailable:
            logger.error("a room can't be ended", extra={"call": str(call_id)})

    async def _forget(self, job: Job) -> None:
        await asyncio.to_thread(_forget, job.errand.tenant_id, job.call_id, job.identity)

    async def _show_calls(self) -> None:
        """Show that this worker's agents live; an agent that dies is noticed by its process."""
        due = time.monotonic()
        while True:
            jobs = [Job.of(info) for info in self._server.active_jobs]
            if jobs:
                await asyncio.to_thread(_show, [self._live(job) for job in jobs])
            due = max(due + live_calls.SHOWN_EVERY_S, time.monotonic())
            await asyncio.sleep(due - time.monotonic())

    def _live(self, job: Job) -> LiveCall:
        errand = job.errand
        return LiveCall(
            errand.tenant_id, job.call_id, job.room, self._agent_name, job.identity, errand.tries
        )

    async def _look_after_others(self) -> None:
        """Send agents into calls whose worker is gone.

        While the database stalls nobody can show anything: only after it has answered promptly for
        long enough is silence the sign of a worker that is gone.
        """
        prompt_since = time.monotonic()
        while True:
            began = time.monotonic()
            judges = began - prompt_since > live_calls.SILENT_S
            silent: list[LiveCall] = []
            try:
                silent = await asyncio.to_thread(
                    live_calls.take_silent, silent_s=live_calls.SILENT_S if judges else _NEVER_S
                )
            except DatabaseUnavailable:
                prompt_since = time.monotonic()
            if time.monotonic() - began > _PROMPT_S:
                prompt_since = time.monotonic()
            own = {info.accept_arguments.identity for info in self._server.active_jobs}
            for call in silent:
                if call.agent not in own:
                    self._spawn(self._take_over(call))
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _take_over(self, call: LiveCall) -> None:
        try:
            caller_waits = any(
                found.kind == "phone" for found in await rooms.who_is_in(call.room)
            ) and await asyncio.to_thread(_is_open, call)
        except Unavailable:
            return  # whoever looks next does it
        if caller_waits and call.tries <= MOST_TRIES:
            logger.error("a call has lost its worker", extra={"call": str(call.call_id)})
            errand = Errand(call.tenant_id, resume=call.call_id, tries=call.tries)
            # The new agent takes the old one out of the room, once the call is its own.
            await self._send(call.room, call.agent_name, errand)
            return
        if caller_waits:
            await self._give_up(call.call_id, call.room)
        await asyncio.to_thread(_forget, call.tenant_id, call.call_id, call.agent)

    async def _bring_leftovers(self) -> None:
        while True:
            await asyncio.to_thread(leftovers.bring_in, self._recordings)
            await asyncio.sleep(_LEFTOVERS_EVERY_S)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _show(shown: list[LiveCall]) -> None:
    for call in shown:
        try:
            with database.tenant_transaction(call.tenant_id) as conn:
                live_calls.show(conn, call)
        except CallNotFound:
            continue  # the company was deleted meanwhile
        except DatabaseUnavailable:
            return


def _lose(tenant_id: UUID, call_id: UUID, tries: int) -> None:
    try:
        with database.tenant_transaction(tenant_id) as conn:
            live_calls.lose(conn, call_id=call_id, tries=tries)
    except DatabaseUnavailable:
        logger.warning("a lost agent can't be noted", extra={"call": str(call_id)})


def _forget(tenant_id: UUID, call_id: UUID, agent: str) -> None:
    try:
        with database.tenant_transaction(tenant_id) as conn:
            live_calls.forget(conn, call_id=call_id, agent=agent)
    except DatabaseUnavailable:
        logger.warning("an ended call can't be forgotten", extra={"call": str(call_id)})


def _is_open(call: LiveCall) -> bool:
    try:
        with database.tenant_transaction(call.tenant_id) as conn:
            return calls.get(conn, call.call_id).status != "closed"
    except CallNotFound:
        return False
