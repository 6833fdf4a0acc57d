"""What the executor refuses, whatever a model has been offered."""

import asyncio
import random

from aurion import access, calls, database, people, tenants

from agent_container import phrases
from agent_container.call_state import CallState
from agent_container.tools import registry
from agent_container.tools.desk import Desk
from agent_container.tools.executor import MOST_CALLS, Executor
from tests.typed_calls import Company, pick_up


class Silence:
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    async def finish(self) -> None:
        return


def state_of(company: Company, *, level: int) -> CallState:
    call = company.start_call()
    with database.tenant_transaction(company.tenant.tenant_id) as conn:
        claimed = calls.claim(conn, call_id=call.id)
        alice = next(p for p in people.list_all(conn) if p.name == "Alice Martin")
    return CallState(
        tenant=company.tenant,
        call=claimed,
        epoch=claimed.epoch,
        connector=company.connector(),
        level=level,
        person=alice if level else None,
    )


def test_the_tools_are_those_that_access_knows_with_the_same_arguments() -> None:
    tools = registry.tools()
    assert set(tools) == set(access.TOOLS)
    for name, tool in tools.items():
        assert set(tool.parameters) == access.TOOLS[name].arguments, name
        assert tool.description
        assert all(parameter.description for parameter in tool.parameters.values())
    writes = {name for name, tool in access.TOOLS.items() if tool.writes}
    assert set(registry.consented()) == writes


async def test_a_tool_above_the_level_is_neither_offered_nor_run(company: Company) -> None:
    state = state_of(company, level=0)
    executor = Executor(Desk(state, Silence()))
    offered = {tool.id for tool in executor.offered()}
    for name in access.TOOLS:
        if access.TOOLS[name].level == 0:
            assert name in offered
            continue
        assert name not in offered
        arguments = dict.fromkeys(access.TOOLS[name].arguments, "x")
        assert await executor.run(name, arguments) == {"error": "not_allowed"}
    await executor.aclose()
    assert state.pending is None
    audited = company.audit(state.call)
    assert audited
    assert {decision for _, decision in audited} == {"refused"}


async def test_random_calls_of_a_captured_model_write_nothing(company: Company) -> None:
    before = await company.tickets()
    chance = random.Random(20261124)
    state = state_of(company, level=1)
    voice = Silence()
    executor = Executor(Desk(state, voice))
    values = ["T-1024", "R-2003", "", "x" * 5000, "Claire\u200b Dubois", True, None, 7, ["a"], {}]
    names = [*access.TOOLS, "reset_password", "__init__", "delete_call"]
    names = [name for name in names if name not in ("end_call", "transfer_to_person")]
    keys = ["summary", "description", "offer", "ticket", "text", "query", "reason", "tenant_id"]
    for _ in range(MOST_CALLS + 20):
        chosen = chance.sample(keys, chance.randint(0, 4))
        await executor.run(chance.choice(names), {key: chance.choice(values) for key in chosen})
    await executor.aclose()
    assert await company.tickets() == before
    assert not state.opened + state.commented + state.callbacks
    assert all(len(text) < 400 for text in voice.said)
    assert not any("\u200b" in text for text in voice.said)


async def test_a_model_in_a_loop_comes_to_an_end(company: Company) -> None:
    executor = Executor(Desk(state_of(company, level=1), Silence()))
    results = [await executor.run("known_outages", {}) for _ in range(MOST_CALLS + 5)]
    await executor.aclose()
    assert [r for r in results if "error" in r] == [{"error": "not_allowed"}] * 5


async def test_a_caller_who_cannot_be_put_through_stays_and_is_called_back(
    company: Company,
) -> None:
    with database.tenant_transaction(company.tenant.tenant_id) as conn:
        company.tenant = tenants.update(conn, fallback_number="+33199000009")
    rung: list[str] = []

    async def refuse(number: str, *, ringing_s: float) -> bool:
        rung.append(number)
        return False

    state = state_of(company, level=1)
    state.put_through = refuse
    state.transfer_s = 15.0
    voice = Silence()
    executor = Executor(Desk(state, voice))
    answering = asyncio.create_task(pick_up(company))
    result = await executor.run("transfer_to_person", {"reason": "screen is black"})
    await answering
    await executor.aclose()
    assert rung == ["+33199000009"]
    assert result["status"] == "no_answer"
    assert state.callbacks == [result["callback"]]
    assert not state.transferred
    assert not state.hang_up.is_set()
    assert phrases.say("person.not_possible", "en") in voice.said
