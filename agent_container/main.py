"""The worker: takes calls from the voice server, each in a process of its own.

Run as `python -m agent_container.main start`, with LIVEKIT_URL, LIVEKIT_API_KEY and
LIVEKIT_API_SECRET set. SIGTERM takes no more calls and ends when the last one is over.
"""

import asyncio
import contextlib
import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from aurion import calls, database, rooms, secrets, tenants
from aurion.calls import Call
from aurion.errors import AurionError, CallClosed, CallNotFound, Unavailable
from aurion.rooms import Errand
from aurion.tenants import Tenant
from livekit import rtc
from livekit.agents import AgentServer, JobContext, JobExecutorType, JobProcess, JobRequest, cli

from agent_container import providers, watching
from agent_container.call import Deps, run_call
from agent_container.config import Config
from agent_container.duties import Duties
from agent_container.room_line import RoomLine
from agent_container.speech.client import SpeechClient
from agent_container.speech.process import start_speech
from agent_container.succession import Succession
from agent_container.watching import Watch

logger = logging.getLogger(__name__)

_ROOM = re.compile(r"call-(?P<token>[A-Za-z0-9_-]{16,128})")
_CALLER_WITHIN_S = 20.0
_LONGEST_CALL_S = 7200


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """Hold what differs between workers; each field is the environment variable of its name.

    Ten calls are what two cores carry with room to spare. Without `speech_socket` the worker starts
    the speech server itself.
    """

    agent_name: str = "aurion"
    max_calls: int = 10
    idle_processes: int = 2
    health_host: str = "0.0.0.0"  # noqa: S104 - the load balancer asks from outside the container
    health_port: int = 8081
    recordings_folder: str = "/tmp/aurion/recordings"  # noqa: S108 - the container's own disk
    speech_socket: str = ""
    speech_cache: str = "/tmp/aurion/speech"  # noqa: S108

    @classmethod
    def from_environment(cls) -> "WorkerSettings":
        """Read the process environment; unset variables keep their defaults."""
        default = cls()
        return cls(
            agent_name=os.environ.get("AGENT_NAME") or default.agent_name,
            max_calls=int(os.environ.get("MAX_CALLS") or default.max_calls),
            idle_processes=int(os.environ.get("IDLE_PROCESSES") or default.idle_processes),
            health_host=os.environ.get("HEALTH_HOST") or default.health_host,
            health_port=int(os.environ.get("HEALTH_PORT") or default.health_port),
            recordings_folder=os.environ.get("RECORDINGS_FOLDER") or default.recordings_folder,
            speech_socket=os.environ.get("SPEECH_SOCKET") or default.speech_socket,
            speech_cache=os.environ.get("SPEECH_CACHE") or default.speech_cache,
        )


settings = WorkerSettings.from_environment()


def prewarm(process: JobProcess) -> None:
    """Make a job process ready before it has a call."""
    keep_personal_data_out_of_logs()
    secrets.make_ready()


def load(server: AgentServer) -> float:
    """Return how full this worker is; the processor's own load says little about the next call."""
    return len(server.active_jobs) / settings.max_calls


server = AgentServer(
    job_executor_type=JobExecutorType.PROCESS,
    setup_fnc=prewarm,
    load_fnc=load,
    load_threshold=0.99,
    num_idle_processes=settings.idle_processes,
    initialize_process_timeout=60,
    drain_timeout=_LONGEST_CALL_S,
    session_end_timeout=120,
    job_memory_warn_mb=400,
    job_memory_limit_mb=800,
    preload_modules=["agent_container.preloaded"],
    host=settings.health_host,
    port=settings.health_port,
)


duties = Duties(server, agent_name=settings.agent_name, max_calls=settings.max_calls)


async def answer_request(request: JobRequest) -> None:
    """Accept a job whose room was made for a ringing call, once, or whose call lost its agent."""
    errand = Errand.from_json(request.job.metadata)
    if errand is None:
        logger.warning("a dispatch names no company")
        await request.reject()
        return
    try:
        call_id = await asyncio.to_thread(_admit, errand, request.room.name)
    except (CallNotFound, CallClosed):
        await request.reject()
        return
    except Unavailable:
        logger.warning("a call could not be looked up")
        await request.reject(terminate=False)  # another worker may reach the database
        return
    await duties.before_accepting()
    await request.accept(name="AurionAI", identity=rooms.agent_identity(call_id, request.id))


async def ended(ctx: JobContext) -> None:
    """Wait until a call's row is closed and its recording stored."""
    serving: asyncio.Task[None] | None = ctx.proc.userdata.get("serving")
    if serving is not None:
        await asyncio.wait({serving})
    await asyncio.to_thread(database.close_pools)


@server.rtc_session(agent_name=settings.agent_name, on_request=answer_request, on_session_end=ended)
async def serve(ctx: JobContext) -> None:
    """Serve one call in its room until it is over."""
    # When the room goes, the framework waits for this function no longer than 15 s, but for
    # `ended` long enough to store the recording.
    serving = asyncio.create_task(_serve(ctx))
    ctx.proc.userdata["serving"] = serving
    await asyncio.shield(serving)


async def _serve(ctx: JobContext) -> None:
    errand, call_id = watching.errand_of(ctx.job.metadata, ctx.local_participant_identity)
    # Beside the way into the room, which takes as long.
    looking = asyncio.create_task(asyncio.to_thread(_look_up, errand.tenant_id, call_id))
    looking.add_done_callback(lambda done: done.cancelled() or done.exception())
    try:
        await ctx.connect()
        caller = await _caller(ctx)
        if caller is None:
            logger.warning("nobody came into the room", extra={"call": str(call_id)})
            await rooms.end(ctx.room.name)
        else:
            call, tenant = await looking
            await _serve_caller(ctx.room, caller, call, tenant, resume=errand.resume is not None)
    except AurionError:
        # The telephone side notices that the call was cut off and offers what it can.
        logger.exception("a call could not be served", extra={"call": str(call_id)})
        await rooms.end(ctx.room.name)
    finally:
        looking.cancel()
        ctx.shutdown("the call is over")


async def _serve_caller(
    room: rtc.Room, caller: rtc.RemoteParticipant, call: Call, tenant: Tenant, *, resume: bool
) -> None:
    line = RoomLine(room, caller, calling_number=call.calling_number)
    speech = SpeechClient(settings.speech_socket)
    deps = Deps(
        speech=speech,
        providers=providers.from_config(Config.from_environment(), speech),
        recordings=Path(settings.recordings_folder),
    )
    events = Succession(room) if resume else None
    try:
        await run_call(line, call=call, tenant=tenant, deps=deps, events=events, resume=resume)
    finally:
        await speech.aclose()


async def _caller(ctx: JobContext) -> rtc.RemoteParticipant | None:
    try:
        async with asyncio.timeout(_CALLER_WITHIN_S):
            return await ctx.wait_for_participant(kind=rtc.ParticipantKind.PARTICIPANT_KIND_SIP)
    except (TimeoutError, RuntimeError):  # RuntimeError: the room has gone meanwhile
        return None


def _admit(errand: Errand, room: str) -> UUID:
    """Find the call a room is for: by its token, once, or by the errand of an agent that died."""
    with database.tenant_transaction(errand.tenant_id) as conn:
        if errand.resume is not None:
            call = calls.get(conn, errand.resume)
            if call.status == "closed":
                raise CallClosed
            return call.id
        named = _ROOM.fullmatch(room)
        if named is None:
            raise CallNotFound
        return calls.redeem_token(conn, token=named["token"]).id


def _look_up(tenant_id: UUID, call_id: UUID) -> tuple[Call, Tenant]:
    with database.tenant_transaction(tenant_id) as conn:
        call, tenant = calls.get(conn, call_id), tenants.get(conn)
    if tenant.itsm_secret:
        with contextlib.suppress(AurionError):
            secrets.get(tenant.itsm_secret)  # remembered until the call asks for it
    return call, tenant


class PersonalDataFilter(logging.Filter):
    """Take out what the framework itself marks as personal: fields with `pii` in their name."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Clear a record's personal fields and let it pass."""
        for name in list(vars(record)):
            if "pii" in name.split("."):
                delattr(record, name)
        return True


def keep_personal_data_out_of_logs() -> None:
    """Filter every record of this process, whoever writes it."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(PersonalDataFilter())


def main() -> None:
    """Run the worker, with a speech server of its own unless there is one."""
    global settings
    speech = None
    if not settings.speech_socket:
        socket = Path(settings.speech_cache) / "speech.sock"
        speech = start_speech(socket, Path(settings.speech_cache))
        os.environ["SPEECH_SOCKET"] = str(socket)  # job processes read it
    try:
        _run()
    finally:
        database.close_pools()
        if speech is not None:
            speech.stop()


def _run() -> None:
    def started() -> None:
        keep_personal_data_out_of_logs()
        recordings = Path(settings.recordings_folder)
        Watch(server, agent_name=settings.agent_name, recordings=recordings).start()
        duties.start()

    server.once("worker_started", started)
    cli.run_app(server)


if __name__ == "__main__":
    main()
