"""The desk: what a model may cause, and what only the caller's own words may."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from aurion import access, database, tenants

from agent_container import phrases
from agent_container.call import Deps
from agent_container.providers import Providers
from local.desk.process import DeskProcess
from tests.typed_calls import ALICE, TOM, Company, ScriptedLLM, pick_up, type_call


def with_model(deps: Deps, model: ScriptedLLM) -> Deps:
    original = deps.providers
    return replace(
        deps,
        providers=Providers(
            language_model=lambda language, company: model,
            recogniser=original.recogniser,
            voice=original.voice,
        ),
    )


def call_of(name: str, **arguments: Any) -> tuple[str, str]:
    return name, json.dumps(arguments)


FOREIGN = [
    call_of("my_tickets", requester_id="R-2003"),
    call_of("my_tickets", tenant_id="00000000-0000-0000-0000-000000000000"),
    call_of("my_assets", person="Claire Dubois"),
    call_of("open_ticket", summary="x", description="y", requester_id="R-2003"),
    call_of("open_ticket", summary="x", description="y", level=3),
    call_of("open_ticket", summary="x"),
    call_of("open_ticket", summary=["x"], description={"y": 1}),
    call_of("comment_on_ticket", ticket="T-1024", text="Cancel this order."),
    call_of("comment_on_ticket", ticket="'; DROP TABLE tickets; --", text="x"),
    call_of("reset_password", user="claire"),
    call_of("search_knowledge", query="x", audience="internal"),
    call_of("stop_recording"),
]


@pytest.mark.parametrize("verified", [True, False])
async def test_a_model_that_is_not_on_our_side_changes_nothing(
    company: Company, deps: Deps, verified: bool
) -> None:
    before = await company.tickets()
    model = ScriptedLLM([*FOREIGN, call_of("request_callback", reason="ha"), "So?"])
    said = list(ALICE) if verified else ["Nobody Known", "#111111"] * 3
    call = company.start_call()
    _, seen = await type_call(
        company,
        [*said, *(["Hello there, my screen is black."] * (len(FOREIGN) + 1))],
        deps=with_model(deps, model),
        call=call,
        quiet_s=0.15,
        patience_s=5.0,  # a model that only calls tools comes to its limit, and nobody speaks
    )
    assert await company.tickets() == before, str(seen)
    outcomes = dict(seen.tools)
    assert "done" not in outcomes.values(), str(seen)
    assert all(set(offered) <= set(access.TOOLS) for offered in model.offered)
    if not verified:
        assert not any("my_tickets" in offered for offered in model.offered)
    answers = {
        item["output"]
        for request in model.requests
        for item in request["items"]  # pyright: ignore[reportGeneralTypeIssues,reportIndexIssue]
        if item["type"] == "function_call_output" and item["output"].startswith("{")
    }
    allowed = ('{"error": "not_allowed"}', '{"error": "not_found"}', '{"status": "asked"}')
    assert answers <= set(allowed)
    assert "R-2001" not in json.dumps(model.requests)
    refused = [decision for action, decision in company.audit(call) if decision == "refused"]
    assert refused


async def test_only_the_callers_own_yes_opens_a_ticket(company: Company, deps: Deps) -> None:
    before = await company.tickets()
    ask = call_of("open_ticket", summary="Screen is black", description="Since Monday")
    model = ScriptedLLM([ask, "All right.", ask, "Hm.", ask])
    call = company.start_call()
    result, seen = await type_call(
        company,
        [
            *ALICE,
            "My screen is black.",
            "No.",
            "It is still black.",
            "Well, what does that cost?",
            "Please, it is black.",
            "Yes, go ahead.",
        ],
        deps=with_model(deps, model),
        call=call,
    )
    question = "I will open a ticket: Screen is black. Shall I do that?"
    assert seen.agent.count(question) == 3, str(seen)
    after = await company.tickets()
    assert set(after) - set(before) == set(result.opened)
    assert len(result.opened) == 1
    assert after[result.opened[0]].summary == "Screen is black"
    # The model was not asked to speak after a question of ours, nor after the yes.
    assert len(model.requests) == 5
    assert ("open_ticket", "asked") in company.audit(call)
    assert ("open_ticket", "allowed") in company.audit(call)


async def test_a_model_cannot_comment_on_somebody_elses_ticket(
    company: Company, deps: Deps
) -> None:
    before = await company.tickets()
    steal = call_of("comment_on_ticket", ticket="T-1024", text="it is urgent")
    model = ScriptedLLM([steal, "I can't find it."])
    _, seen = await type_call(
        company, [*ALICE, "Please add that it is urgent."], deps=with_model(deps, model)
    )
    assert await company.tickets() == before
    assert ("comment_on_ticket", "failed") in seen.tools, str(seen)
    assert "not_found" in json.dumps(model.requests[-1])


async def test_a_note_is_added_at_once_only_in_the_callers_own_words(
    company: Company, deps: Deps
) -> None:
    own = "T-1024"
    model = ScriptedLLM(
        [
            call_of("comment_on_ticket", ticket=own, text="Please close it, it is solved"),
            call_of("comment_on_ticket", ticket=own, text="it happens every morning"),
        ]
    )
    result, seen = await type_call(
        company,
        [*TOM, "What about my ticket?", "Please add that it happens every morning."],
        deps=with_model(deps, model),
    )
    assert f"I will add this to ticket {own}: Please close it, it is solved. Shall I" in seen.agent
    assert result.commented == (own,), str(seen)
    comments = [comment.text for comment in (await company.tickets())[own].comments]
    assert "it happens every morning" in comments
    assert "Please close it, it is solved" not in comments


async def test_a_person_takes_the_call(company: Company, deps: Deps) -> None:
    answering = asyncio.create_task(pick_up(company))
    call = company.start_call()
    result, seen = await type_call(
        company,
        [*ALICE, "My screen is black.", "I want to speak to a person."],
        deps=replace(deps, transfer_s=15.0),
        call=call,
        hang_up=False,
    )
    await answering
    assert result.outcome == "transferred", str(seen)
    assert "will take over now" in seen.agent or "on the line now" in seen.agent
    assert company.row(call).status == "closed"


async def test_while_the_desk_is_down_requests_are_kept(
    company: Company, deps: Deps, desk: DeskProcess
) -> None:
    ask = call_of("open_ticket", summary="Screen is black", description="Since Monday")
    model = ScriptedLLM([ask, "Goodbye."])
    desk.fault("status", "/api/tickets", method="POST")
    call = company.start_call()
    result, seen = await type_call(
        company, [*ALICE, "My screen is black.", "Yes."], deps=with_model(deps, model), call=call
    )
    assert phrases.say("done.ticket_kept", "en") in seen.agent, str(seen)
    assert result.opened == ()
    assert result.outcome == "message"
    with database.tenant_transaction(company.tenant.tenant_id) as conn:
        kept = conn.execute("SELECT kind FROM aurion.drafts").fetchall()
    assert kept == [("open",)]


async def test_switching_writes_off_works_on_a_call_under_way(company: Company, deps: Deps) -> None:
    before = await company.tickets()
    ask = call_of("open_ticket", summary="Screen is black", description="Since Monday")
    model = ScriptedLLM([ask, "Well."])
    call = company.start_call()

    class Switch(ScriptedLLM):
        def chat(self, **options: Any) -> Any:
            with database.tenant_transaction(company.tenant.tenant_id) as conn:
                tenants.update(conn, writes_enabled=False)
            return super().chat(**options)

    model = Switch([ask, "Well."])
    result, seen = await type_call(
        company, [*ALICE, "My screen is black.", "Yes."], deps=with_model(deps, model), call=call
    )
    assert result.opened == ()
    assert await company.tickets() == before
    assert phrases.say("done.not_done", "en") in seen.agent, str(seen)


async def test_a_failing_model_is_told_to_the_caller(company: Company, deps: Deps) -> None:
    class Broken(ScriptedLLM):
        def chat(self, **options: Any) -> Any:
            from livekit.agents import APIConnectionError, llm

            class Stream(llm.LLMStream):
                async def _run(self) -> None:
                    raise APIConnectionError("down")

            options.pop("parallel_tool_calls", None)
            return Stream(
                self,
                chat_ctx=options["chat_ctx"],
                tools=options.get("tools") or [],
                conn_options=options["conn_options"],
            )

    _, seen = await type_call(
        company, [*ALICE, "My screen is black."], deps=with_model(deps, Broken([]))
    )
    assert phrases.say("trouble.again", "en") in seen.agent, str(seen)


@pytest.mark.parametrize(
    "said", ["my badge 471129 doesn't open the door", "four seven one one two nine"]
)
async def test_a_badge_said_later_reaches_nobody(company: Company, deps: Deps, said: str) -> None:
    model = ScriptedLLM(["I see.", "I see."])
    call = company.start_call()
    _, seen = await type_call(company, [*ALICE, said], deps=with_model(deps, model), call=call)
    everywhere = json.dumps(model.requests) + str(seen) + "".join(
        turn.text for turn in company.turns(call)
    )  # fmt: skip
    assert "471129" not in everywhere
    assert "four seven one" not in everywhere
    assert "[redacted: badge]" in json.dumps(model.requests)


async def test_every_turn_is_committed_in_order(company: Company, deps: Deps) -> None:
    model = ScriptedLLM(["I see.", "Indeed."])
    call = company.start_call()
    _, seen = await type_call(
        company, [*ALICE, "One.", "Two."], deps=with_model(deps, model), call=call
    )
    written = [(turn.speaker, turn.text) for turn in company.turns(call)]
    assert written == [(speaker, text) for speaker, text, _ in seen.lines]
    assert [turn.seq for turn in company.turns(call)] == list(range(1, len(written) + 1))


async def test_another_agent_goes_on_with_a_call_whose_agent_has_died(
    company: Company, deps: Deps
) -> None:
    call = company.start_call()
    first = ScriptedLLM(["Which screen?", "never said"])
    running = asyncio.create_task(
        type_call(
            company,
            [*ALICE, "My screen is black."],
            deps=with_model(deps, first),
            call=call,
            hang_up=False,
        )
    )
    while len(first.requests) < 1:
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.5)
    second = ScriptedLLM(["As I said."])
    result, seen = await type_call(
        company, ["The left one."], deps=with_model(deps, second), call=call, resume=True
    )
    assert result.level == 1
    assert "verifying" not in seen.stages
    told = json.dumps(second.requests[0])
    assert "My screen is black." in told
    assert "Which screen?" in told
    row = company.row(call)
    assert (row.status, row.epoch) == ("closed", 2)
    assert phrases.say("trouble.resumed", "en") in seen.agent
    # The older agent notices that the call is no longer its own, and leaves without a word.
    async with asyncio.timeout(15):
        older, _ = await running
    assert older.call_id == result.call_id
    assert [turn.epoch for turn in company.turns(call)][-1] == 2


async def test_a_turn_is_committed_before_anything_answers_it(company: Company, deps: Deps) -> None:
    call = company.start_call()
    written: list[str] = []

    class Looking(ScriptedLLM):
        def chat(self, **options: Any) -> Any:
            written.append(company.turns(call)[-1].text)
            return super().chat(**options)

    await type_call(
        company, [*ALICE, "One.", "Two."], deps=with_model(deps, Looking([])), call=call
    )
    assert written == ["One.", "Two."]
