"""Calls that are typed: a caller who answers when the agent is done, and what they witnessed."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
from aurion import calls, database, itsm, secrets, tenants, turns
from aurion.calls import Call
from aurion.tenants import Tenant
from livekit.agents import llm

from agent_container.call import CallResult, Deps, run_call
from agent_container.call_state import Speaker, Stage, ToolStatus
from local.audio_line import TextLine
from local.desk.process import DeskProcess
from tests.factories import add_demo_company
from tests.gateways import NO_TLS

ALICE = (
    "Hi, this is Alice Martin.",
    "My badge number is four seven one one two nine.",
)
TOM = ("Hello, my name is Tom Becker.", "Eight zero three, double five, six.")
CLAIRE = (
    "Bonjour, je m'appelle Claire Dubois.",
    "Mon numéro de badge est deux neuf zéro quatre un six.",
)


@dataclass(slots=True)
class Witness:
    """Everything a call's events told."""

    lines: list[tuple[Speaker, str, int | None]] = field(default_factory=list)
    tools: list[tuple[str, ToolStatus]] = field(default_factory=list)
    stages: list[Stage] = field(default_factory=list)
    last_at: float = field(default_factory=time.monotonic)
    agent_turns: int = 0

    def said(self, speaker: Speaker, text: str, at: float, reply_ms: int | None) -> None:
        self.lines.append((speaker, text, reply_ms))
        self.agent_turns += speaker == "agent"
        self.last_at = time.monotonic()

    def tool(self, name: str, status: ToolStatus, ms: int) -> None:
        self.tools.append((name, status))
        self.last_at = time.monotonic()

    def state(self, name: Stage) -> None:
        self.stages.append(name)
        self.last_at = time.monotonic()

    @property
    def agent(self) -> str:
        return "\n".join(text for speaker, text, _ in self.lines if speaker == "agent")

    @property
    def caller(self) -> list[str]:
        return [text for speaker, text, _ in self.lines if speaker == "caller"]

    def __str__(self) -> str:
        return "\n".join(f"{speaker:>6} | {text}" for speaker, text, _ in self.lines) + (
            f"\n{self.tools}"
        )


@dataclass(slots=True)
class Company:
    """A company with its people and its desk."""

    tenant: Tenant
    desk: DeskProcess

    def start_call(self, *, channel: calls.Channel = "text", number: str | None = None) -> Call:
        with database.tenant_transaction(self.tenant.tenant_id) as conn:
            return calls.start(conn, channel=channel, calling_number=number)

    def connector(self) -> itsm.Connector:
        return itsm.connect("demo_desk", base_url=self.desk.base_url, secret=self.desk.token)

    async def tickets(self) -> dict[str, itsm.Ticket]:
        """Every ticket of the three callers, by number."""
        connector = self.connector()
        found: dict[str, itsm.Ticket] = {}
        for email in ("alice.martin", "tom.becker", "claire.dubois"):
            requester = await connector.find_requester(f"{email}@meridian.example")
            assert requester is not None
            found |= {ticket.number: ticket for ticket in await connector.tickets_of(requester.id)}
        await connector.aclose()
        return found

    def audit(self, call: Call) -> list[tuple[str, str]]:
        with database.tenant_transaction(self.tenant.tenant_id) as conn:
            return conn.execute(
                "SELECT action, decision FROM aurion.audit_events WHERE call_id = %s ORDER BY at",
                (call.id,),
            ).fetchall()

    def row(self, call: Call) -> Call:
        with database.tenant_transaction(self.tenant.tenant_id) as conn:
            return calls.get(conn, call.id)

    def turns(self, call: Call) -> list[turns.Turn]:
        with database.tenant_transaction(self.tenant.tenant_id) as conn:
            return turns.list_all(conn, call.id)


def make_company(desk: DeskProcess) -> Company:
    """Make the demo company, the way the product makes it."""
    return move_in(add_demo_company(), desk)


def move_in(tenant: Tenant, desk: DeskProcess) -> Company:
    """Give a company its desk."""
    name = secrets.itsm_secret_name(tenant.tenant_id)
    secrets.put(name, desk.token)
    with database.tenant_transaction(tenant.tenant_id) as conn:
        tenant = tenants.update(conn, itsm_url=desk.base_url, itsm_secret=name)
    return Company(tenant, desk)


async def type_call(
    company: Company,
    sentences: Sequence[str | float],
    *,
    deps: Deps,
    call: Call | None = None,
    witness: Witness | None = None,
    hang_up: bool = True,
    resume: bool = False,
    quiet_s: float = 0.25,
    patience_s: float = 45.0,
) -> tuple[CallResult, Witness]:
    """Type sentences, each when the agent is quiet; "#471129" is keyed, a number waits (s).

    After `patience_s` without a reply the caller goes on.
    """
    witness = witness or Witness()
    line = TextLine(calling_number=None)
    call = call or company.start_call()
    running = asyncio.create_task(
        run_call(line, call=call, tenant=company.tenant, deps=deps, events=witness, resume=resume)
    )
    before = 0

    async def quiet(more_than: int) -> None:
        deadline = time.monotonic() + patience_s
        while not running.done() and time.monotonic() < deadline:
            replied = witness.agent_turns > more_than
            replied = replied and witness.stages[-1:] != ["transferring"]
            if replied and time.monotonic() - witness.last_at > quiet_s:
                return
            await asyncio.sleep(0.02)

    try:
        await quiet(0 if not resume else -1)
        for sentence in sentences:
            if running.done():
                break
            if not isinstance(sentence, str):
                await asyncio.sleep(sentence)
                continue
            before = witness.agent_turns
            if sentence.startswith("#"):
                for key in sentence[1:] + "#":
                    line.press(key)
            else:
                await line.typed.put(sentence)
            await quiet(before)
        if hang_up and not running.done():
            await line.hang_up()
        async with asyncio.timeout(60):
            return await running, witness
    finally:
        running.cancel()


async def pick_up(company: Company) -> None:
    """Be the person on duty: take the first call that is offered."""
    async with httpx2.AsyncClient(
        base_url=company.desk.base_url,
        headers={"Authorization": f"Bearer {company.desk.token}"},
        trust_env=False,
        verify=NO_TLS,
    ) as http:
        for _ in range(200):
            offers = (await http.get("/api/transfers")).json()["transfers"]
            waiting = [offer for offer in offers if offer["status"] == "offered"]
            if waiting:
                await http.post(
                    f"/api/transfers/{waiting[0]['id']}/answer", json={"person_id": "P-1"}
                )
                return
            await asyncio.sleep(0.1)


class ScriptedLLM(llm.LLM):
    """A model that follows a script of its own: text, or tool calls, one entry per request."""

    def __init__(self, script: Sequence[str | tuple[str, str]]) -> None:
        super().__init__()
        self.script = list(script)
        self.requests: list[dict[str, object]] = []
        self.offered: list[list[str]] = []

    def chat(self, *, chat_ctx, tools=None, conn_options=None, **_):  # type: ignore[no-untyped-def]
        from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS

        self.requests.append(chat_ctx.to_dict())
        self.offered.append([tool.id for tool in tools or []])
        step = self.script.pop(0) if self.script else "All right."
        return _Scripted(
            self,
            step,
            chat_ctx=chat_ctx,
            tools=tools or [],
            conn_options=conn_options or DEFAULT_API_CONNECT_OPTIONS,
        )


class _Scripted(llm.LLMStream):
    def __init__(self, model: llm.LLM, step: str | tuple[str, str], **options) -> None:  # type: ignore[no-untyped-def]
        super().__init__(model, **options)
        self._step = step

    async def _run(self) -> None:
        if isinstance(self._step, tuple):
            from livekit.agents import utils

            name, arguments = self._step
            call = llm.FunctionToolCall(
                name=name, arguments=arguments, call_id=utils.shortuuid("call_")
            )
            delta = llm.ChoiceDelta(role="assistant", tool_calls=[call])
        else:
            delta = llm.ChoiceDelta(role="assistant", content=self._step)
        self._event_ch.send_nowait(llm.ChatChunk(id="x", delta=delta))


def recordings_in(folder: Path) -> list[Path]:
    return sorted(folder.glob("*"))
