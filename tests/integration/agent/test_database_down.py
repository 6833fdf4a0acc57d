"""The database goes away in the middle of a call, and comes back."""

import asyncio
import json
from typing import Any

import pytest
from aurion import database as aurion_database
from aurion.settings import settings

from agent_container import phrases
from agent_container.call import Deps
from local.postgres import Database
from tests.integration.agent.test_desk_agent import with_model
from tests.typed_calls import ALICE, Company, ScriptedLLM, Witness, type_call


class Outage:
    """Make the database unreachable for this process, as a failing network would."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, database: Database) -> None:
        self._patch = monkeypatch
        self._port = database.environment()["DATABASE_PORT"]

    def begin(self) -> None:
        self._reach("9")

    def end(self) -> None:
        self._reach(self._port)

    def _reach(self, port: str) -> None:
        self._patch.setenv("DATABASE_PORT", port)
        settings.cache_clear()
        aurion_database.close_pools()


class Cutting(ScriptedLLM):
    """A model during whose second answer something happens."""

    def __init__(self, script: list[Any], happens: list[Any]) -> None:
        super().__init__(script)
        self.happens = happens

    def chat(self, **options: Any) -> Any:
        if self.happens:
            self.happens.pop(0)()
        return super().chat(**options)


async def test_turns_are_kept_in_order_and_a_message_is_taken(
    company: Company, deps: Deps, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    outage = Outage(monkeypatch, database)
    model = Cutting(["Which screen?", "I see."], [outage.begin])
    call = company.start_call()
    said = ["My screen is black.", "The left one.", "Since Monday.", 9.0, "No."]
    sentences: list[str | float] = [*ALICE, *said]

    async def repair() -> None:
        taken = phrases.say("trouble.message_taken", "en")
        while not witness.agent.endswith(taken):
            await asyncio.sleep(0.05)
        outage.end()

    witness = Witness()
    repairing = asyncio.create_task(repair())
    result, seen = await type_call(
        company, sentences, deps=with_model(deps, model), call=call, witness=witness
    )
    await repairing
    assert phrases.say("trouble.database", "en") in seen.agent, str(seen)
    assert phrases.say("trouble.message_taken", "en") in seen.agent
    written = [(turn.speaker, turn.text) for turn in company.turns(call)]
    assert written == [(speaker, text) for speaker, text, _ in seen.lines]
    # The model was not asked about what was not committed.
    assert "The left one" not in json.dumps(model.requests[:1])
    assert len(result.callbacks) == 1, str(seen)
    row = company.row(call)
    assert row.status == "closed"
    assert row.outcome == "callback"


async def test_a_call_that_ends_while_the_database_is_down_is_closed_once_it_is_back(
    company: Company, deps: Deps, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    outage = Outage(monkeypatch, database)
    model = Cutting(["Which screen?"], [outage.begin])
    call = company.start_call()

    async def repair() -> None:
        while not model.requests:
            await asyncio.sleep(0.05)
        await asyncio.sleep(9)
        outage.end()

    repairing = asyncio.create_task(repair())
    result, seen = await type_call(
        company,
        [*ALICE, "My screen is black.", "The left one."],
        deps=with_model(deps, model),
        call=call,
    )
    await repairing
    row = company.row(call)
    assert row.status == "closed", str(seen)
    assert result.outcome == row.outcome == "message"
    with aurion_database.tenant_transaction(company.tenant.tenant_id) as conn:
        assert conn.execute("SELECT kind FROM aurion.drafts").fetchall() == [("callback",)]
