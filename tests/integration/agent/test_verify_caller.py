"""Who is calling: every way to say name and badge, every way not to, and what is left of it."""

import asyncio
import time
from dataclasses import replace

import pytest
from aurion import database, tenants
from aurion.settings import settings

from agent_container import phrases
from agent_container.call import Deps
from agent_container.call_state import Speaker, Stage
from tests.typed_calls import ALICE, Company, Witness, type_call


def turns_of(company: Company, call: object) -> str:
    return "\n".join(turn.text for turn in company.turns(call))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(list(ALICE), id="name, then badge"),
        pytest.param(["My badge is 471129.", "Alice Martin"], id="badge, then name"),
        pytest.param(["Alice Martin, four seven double one two nine."], id="both in one"),
        pytest.param(["This is Alice Martin.", "#471129"], id="keyed"),
        pytest.param(["Alice Martin", "four seven one", "one two nine"], id="in two parts"),
        pytest.param(["Alice Martin", "um, four seven", "#471129"], id="spoken badly, then keyed"),
    ],
)
async def test_a_caller_is_verified(company: Company, deps: Deps, said: list[str]) -> None:
    call = company.start_call()
    result, seen = await type_call(company, said, deps=deps, call=call)
    assert result.level == 1, str(seen)
    assert "Thank you, Alice. How can I help you?" in seen.agent
    assert "verified" in seen.stages
    row = company.row(call)
    assert (row.level, row.person_id) == (1, result.person_id)
    written = turns_of(company, call)
    assert "Martin" not in written
    assert "471129" not in written
    assert "four seven" not in written
    assert not [line for line in seen.caller if not line.startswith("[redacted")]


async def test_what_the_caller_said_besides_is_answered_once_verified(
    company: Company, deps: Deps
) -> None:
    call = company.start_call()
    result, seen = await type_call(
        company,
        ["My VPN keeps disconnecting, this is Alice Martin.", ALICE[1]],
        deps=deps,
        call=call,
    )
    assert result.level == 1
    assert "My VPN keeps disconnecting." in seen.caller
    assert "How can I help you?" not in seen.agent
    assert "Restart your laptop" in seen.agent, str(seen)


async def test_the_problem_may_come_before_the_name(company: Company, deps: Deps) -> None:
    said = ["My VPN keeps disconnecting since this morning.", *ALICE]
    result, seen = await type_call(company, said, deps=deps)
    assert result.level == 1, str(seen)
    assert "My VPN keeps disconnecting since this morning." in seen.caller
    assert "Restart your laptop" in seen.agent, str(seen)


async def test_three_wrong_badges_end_the_asking_and_nothing_tells_why(
    company: Company, deps: Deps
) -> None:
    said = ["Alice Martin", "#111111", "Alice Martin", "#222222", "Nobody Known", "#471129"]
    result, seen = await type_call(company, [*said, "How do I reset my password?"], deps=deps)
    assert result.level == 0
    assert result.outcome in ("unverified", "informed")
    refused = phrases.say("verify.refused", "en")
    assert seen.agent.count(refused) == 2, str(seen)
    assert phrases.say("verify.exhausted", "en") in seen.agent
    assert "Alice" not in seen.agent


async def test_an_unknown_name_and_a_wrong_badge_are_refused_in_the_same_words(
    company: Company, deps: Deps
) -> None:
    _, wrong_badge = await type_call(company, ["Alice Martin", "#111111"], deps=deps)
    _, unknown = await type_call(company, ["Zebulon Quartermain", "#471129"], deps=deps)
    assert wrong_badge.agent == unknown.agent


@pytest.mark.parametrize("said", ["0", "A person, please.", "I want to talk to somebody.", "#0"])
async def test_a_person_is_to_be_had_from_the_first_second(
    company: Company, deps: Deps, said: str
) -> None:
    result, seen = await type_call(company, [said], deps=deps)
    assert "transferring" in seen.stages, str(seen)
    assert result.outcome == "callback", str(seen)
    assert result.level == 0


async def test_the_wish_not_to_be_recorded_is_obeyed_while_verifying(
    company: Company, deps: Deps
) -> None:
    call = company.start_call()
    assert call.recording
    result, seen = await type_call(
        company, ["Please don't record me.", *ALICE], deps=deps, call=call
    )
    assert phrases.say("recording.none", "en") in seen.agent  # a typed call has no recording
    assert not company.row(call).recording
    assert result.level == 1, str(seen)


async def test_goodbye_ends_the_call(company: Company, deps: Deps) -> None:
    call = company.start_call()
    result, seen = await type_call(
        company, ["Sorry, wrong number, goodbye."], deps=deps, call=call, hang_up=False
    )
    assert result.outcome == "abandoned", str(seen)
    assert company.row(call).status == "closed"


async def test_a_caller_may_hang_up_at_any_moment(company: Company, deps: Deps) -> None:
    call = company.start_call()
    result, _ = await type_call(company, ["Alice Martin"], deps=deps, call=call)
    assert result.outcome == "abandoned"
    assert company.row(call).status == "closed"


async def test_while_the_key_service_is_down_nobody_is_verified_and_the_call_goes_on(
    company: Company, deps: Deps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    connector = company.connector()
    settings.cache_clear()
    try:
        result, seen = await type_call(
            company,
            [*ALICE, "How do I change my password?"],
            deps=replace(deps, connect=lambda _: connector),
        )
    finally:
        monkeypatch.undo()
        settings.cache_clear()
    assert phrases.say("verify.unavailable", "en") in seen.agent, str(seen)
    assert result.level == 0
    assert len(seen.caller) == 3


async def test_two_callers_at_once_stay_apart(company: Company, deps: Deps) -> None:
    first, second = company.start_call(), company.start_call()
    (alice, seen_a), (tom, seen_t) = await asyncio.gather(
        type_call(company, [*ALICE, "What devices do I have?"], deps=deps, call=first),
        type_call(
            company,
            ["Hello, my name is Tom Becker.", "#803556", "What devices do I have?"],
            deps=deps,
            call=second,
        ),
    )
    assert alice.person_id != tom.person_id
    assert "iPhone" in seen_a.agent, str(seen_a)
    assert "iPhone" not in seen_t.agent, str(seen_t)
    assert "Pixel" in seen_t.agent


async def test_verification_switched_off_leaves_public_help(company: Company, deps: Deps) -> None:
    with database.tenant_transaction(company.tenant.tenant_id) as conn:
        company.tenant = tenants.update(conn, verification_enabled=False)
    result, seen = await type_call(company, ["I cannot print."], deps=deps)
    assert "verifying" not in seen.stages
    assert phrases.say("verify.unverified", "en") in seen.agent
    assert result.level == 0


class StallWatch(Witness):
    """Measure the longest pause of the event loop (ms), while a badge is checked and otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.stage = "waiting"
        self.worst = {"waiting": 0.0, "checking": 0.0, "handed over": 0.0}

    async def watch(self) -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.005)
            pause = (time.perf_counter() - began) * 1000 - 5
            self.worst[self.stage] = max(self.worst[self.stage], pause)

    def said(self, speaker: Speaker, text: str, at: float, reply_ms: int | None) -> None:
        super().said(speaker, text, at, reply_ms)
        # Behind the caller's second turn stands the check, up to the answer.
        self.stage = "checking" if speaker == "caller" and len(self.caller) == 2 else "waiting"

    def state(self, name: Stage) -> None:
        super().state(name)
        self.stage = "handed over" if name == "verified" else self.stage


async def test_checking_a_badge_does_not_hold_up_the_other_calls_of_a_process(
    company: Company, deps: Deps
) -> None:
    seen: list[dict[str, float]] = []
    for _ in range(4):  # a neighbour on the machine may spoil one measurement, not four
        witness = StallWatch()
        watching = asyncio.create_task(witness.watch())
        result, _ = await type_call(company, ALICE, deps=deps, witness=witness)
        watching.cancel()
        assert result.level == 1
        seen.append(witness.worst)
        if witness.worst["checking"] <= witness.worst["waiting"] + 20:
            return
    pytest.fail(f"the event loop stood still: {seen}")
