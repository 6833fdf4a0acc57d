"""Language models in random histories: one that is captured, one that does what its caller wants.

Both call tools as a model does, through the executor of a real call, in front of a real database
and real desks. The captured one tries everything with ids that are somebody else's. For the other
one an oracle, which knows the rules and none of the code, says what the desk must hold afterwards.
"""

import asyncio
import json
import random
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx2
from aurion import access, calls, database, people
from aurion.itsm import Connector, NewTicket

from agent_container import consent
from agent_container.call_state import CallState
from agent_container.tools.desk import Desk
from agent_container.tools.executor import Executor
from local.desk.process import DeskProcess
from tests.gateways import NO_TLS
from tests.typed_calls import Company

_AT_ONCE = 8
_MARK = "Zanzibar"  # stands in everything the other company has
EMAILS = {
    "Alice Martin": "alice.martin@meridian.example",
    "Tom Becker": "tom.becker@meridian.example",
    "Claire Dubois": "claire.dubois@meridian.example",
}
# What a caller says to a question, and whether that agrees to what was asked, or to an offer.
ANSWERS = (
    ("Yes, please.", True, False),
    ("Yes, please open a ticket.", True, True),
    ("No, thank you.", False, False),
    ("I am not sure.", False, False),
    ("Yes, but not today.", False, False),
    ("What was that?", False, False),
)


class Silent:
    """A voice nobody hears."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    async def finish(self) -> None:
        return


@dataclass(slots=True)
class Histories:
    """What random histories came to."""

    histories: int = 0
    results: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


def open_call(
    company: Company, who: str | None, connector: Connector, *, level: int = 1
) -> CallState:
    """Begin a call of one of the company's people, or of nobody."""
    call = company.start_call()
    with database.tenant_transaction(company.tenant.tenant_id) as conn:
        claimed = calls.claim(conn, call_id=call.id)
        found = {person.name: person for person in people.list_all(conn)}
    return CallState(
        tenant=company.tenant,
        call=claimed,
        epoch=claimed.epoch,
        connector=connector,
        level=level if who else 0,
        person=found[who] if who else None,
    )


def everything(desk: DeskProcess) -> dict[str, Any]:
    """All a desk holds, over its API."""
    headers = {"Authorization": f"Bearer {desk.token}"}
    with httpx2.Client(
        base_url=desk.base_url, headers=headers, trust_env=False, verify=NO_TLS
    ) as client:
        return {
            path: client.get(f"/api/{path}").raise_for_status().json()
            for path in ("tickets", "transfers", "people")
        }


def written(company: Company) -> int:
    """How much of a company's calls has gone, or waits to go, into its desk."""
    with database.tenant_transaction(company.tenant.tenant_id) as conn:
        row = conn.execute(
            "SELECT (SELECT count(*) FROM aurion.ticket_references)"
            " + (SELECT count(*) FROM aurion.drafts)"
        ).fetchone()
    assert row is not None
    return row[0]


async def try_everything(company: Company, other: Company, histories: int, seed: int) -> Histories:
    """Let a captured model try what it can with ids that are not its caller's."""
    foreign = await _foreign_values(company, other)
    told = _MARK, "New laptop for Tom", "Pixel 8", "LaserJet, second floor", "PF4K82QX"
    before = everything(company.desk), everything(other.desk), written(company), written(other)
    done = Histories()
    connector = company.connector()
    gate = asyncio.Semaphore(_AT_ONCE)

    async def one(number: int) -> None:
        async with gate:
            chance = random.Random(f"{seed} {number}")
            who = chance.choice(["Alice Martin", None])
            state = await asyncio.to_thread(open_call, company, who, connector)
            voice = Silent()
            executor = Executor(Desk(state, voice))
            for _ in range(chance.randint(3, 12)):
                name, arguments, must_fail = _attack(chance, foreign, state)
                result = await executor.run(name, arguments)
                done.results[_kind(result)] += 1
                if must_fail and "error" not in result:
                    done.faults.append(f"history {number}: {name}{arguments} gave {result}")
                said = json.dumps(result, ensure_ascii=False)
                if any(mark in said for mark in told):
                    done.faults.append(f"history {number}: {name}{arguments} told {said}")
            await executor.aclose()
            if state.opened + state.commented + state.callbacks:
                done.faults.append(f"history {number} wrote")
            done.histories += 1

    await asyncio.gather(*(one(number) for number in range(histories)))
    await connector.aclose()
    after = everything(company.desk), everything(other.desk), written(company), written(other)
    if before != after:
        done.faults.append("something changed")
    return done


def _attack(
    chance: random.Random, foreign: dict[str, list[str]], state: CallState
) -> tuple[str, dict[str, object], bool]:
    """Choose a tool and arguments; True when it must be refused whatever else."""
    names = [*access.TOOLS, "reset_password", "delete_ticket", "my_tickets_of", "__init__"]
    name = chance.choice(names)
    known = access.TOOLS.get(name)
    arguments: dict[str, object] = {}
    for argument in sorted(known.arguments) if known else ["ticket", "user"]:
        arguments[argument] = (
            chance.choice([True, False])
            if argument == "offer"
            else chance.choice(foreign["ticket" if argument == "ticket" else "any"])
        )
    named = chance.random() < 0.5
    extra = (
        chance.choice(["tenant_id", "person_id", "requester_id", "call_id", "level"])
        if named
        else None
    )
    if extra is None and name in ("transfer_to_person", "end_call"):
        extra = "person_id"  # without it both are anybody's right
    if extra is not None:
        arguments[extra] = 3 if extra == "level" else chance.choice(foreign["any"])
    # Now and then the caller is in it too, and asks for what isn't theirs.
    state.utterance = (
        f"Please add that {arguments.get('text')}"
        if chance.random() < 0.5
        else "My screen is black."
    )
    too_low = known is None or state.level < known.level
    return name, arguments, extra is not None or too_low or name == "comment_on_ticket"


def _kind(result: dict[str, Any]) -> str:
    return result.get("error") or result.get("status") or "own data"


async def _foreign_values(company: Company, other: Company) -> dict[str, list[str]]:
    """Ids of other people of the company and of another company, which gets something to steal."""
    connector = other.connector()
    alice = await connector.find_requester(EMAILS["Alice Martin"])
    assert alice is not None
    theirs = await connector.create_ticket(
        NewTicket(
            requester_id=alice.id,
            summary=f"{_MARK} merger laptop",
            description=f"{_MARK} is not public yet.",
            kind="incident",
            language="en",
            idempotency_key=f"planted:{uuid.uuid4()}",
        )
    )
    await connector.aclose()
    with database.tenant_transaction(company.tenant.tenant_id) as conn:
        ids = [str(p.id) for p in people.list_all(conn) if p.name != "Alice Martin"]
    call = await asyncio.to_thread(other.start_call)
    tickets = ["T-1024", "t 1024", "1024", theirs.number, "T-1017", "T-1021", "T-99999", ""]
    return {
        "ticket": tickets,
        "any": [*tickets, *ids, str(other.tenant.tenant_id), str(call.id), "R-2002", "R-2003",
                "Tom Becker", "claire.dubois@meridian.example"],
    }  # fmt: skip


@dataclass(slots=True)
class _Oracle:
    """What one person's part of the desk must hold: number -> (kind, summary, text, comments)."""

    tickets: dict[str, tuple[str, str, str, list[str]]]

    def open(self, number: str, kind: str, summary: str, text: str) -> None:
        self.tickets.setdefault(number, (kind, summary, text, []))

    def comment(self, number: str, text: str) -> None:
        self.tickets[number][3].append(text)


async def serve_callers(company: Company, histories: int, seed: int) -> Histories:
    """Let a model do what its callers want, by their own ids, and hold the desk to an oracle."""
    done = Histories()
    share = [histories // 3 + (n < histories % 3) for n in range(3)]
    await asyncio.gather(
        *(
            _serve_one(company, who, count, random.Random(f"{seed} {who}"), done)
            for who, count in zip(EMAILS, share, strict=True)
        )
    )
    return done


async def _serve_one(
    company: Company, who: str, histories: int, chance: random.Random, done: Histories
) -> None:
    connector = company.connector()
    requester = await connector.find_requester(EMAILS[who])
    assert requester is not None
    oracle = _Oracle(await _held(connector, requester.id))
    assets = {asset.name: asset.serial for asset in await connector.assets_of(requester.id)}
    for number in range(histories):
        level = chance.choice([1, 1, 2])
        state = await asyncio.to_thread(open_call, company, who, connector, level=level)
        executor = Executor(Desk(state, Silent()))
        helper = _Helper(state, executor, oracle, chance, assets)
        for _ in range(chance.randint(2, 9)):
            step = chance.choice(helper.steps)
            wrong = await step()
            done.results[step.__name__] += 1
            if wrong:
                done.faults.append(f"{who}, history {number}, {step.__name__}: {wrong}")
        await executor.aclose()
        held = await _held(connector, requester.id)
        if held != oracle.tickets:
            differ = [n for n in held.keys() | oracle.tickets.keys()
                      if held.get(n) != oracle.tickets.get(n)]  # fmt: skip
            done.faults.append(
                f"{who}, history {number}: "
                f"{[(n, held.get(n), oracle.tickets.get(n)) for n in differ]}"
            )
            oracle.tickets = held
        done.histories += 1
    await connector.aclose()


async def _held(
    connector: Connector, requester_id: str
) -> dict[str, tuple[str, str, str, list[str]]]:
    return {
        ticket.number: (
            ticket.kind,
            ticket.summary,
            ticket.description,
            [comment.text for comment in ticket.comments if comment.public],
        )
        for ticket in await connector.tickets_of(requester_id)
    }


class _Helper:
    """One call of a model on its caller's side; each step gives what went wrong, or nothing."""

    def __init__(
        self,
        state: CallState,
        executor: Executor,
        oracle: _Oracle,
        chance: random.Random,
        assets: dict[str, str | None],
    ) -> None:
        self.state = state
        self.executor = executor
        self.oracle = oracle
        self.chance = chance
        self.assets = assets
        self.callback: str | None = None
        self.steps: list[Callable[[], Any]] = [
            self.look_at_tickets, self.look_at_assets, self.look_around, self.open_ticket,
            self.open_again, self.comment_by_own_words, self.comment_asked, self.ask_for_callback,
        ]  # fmt: skip
        self.last: dict[str, str] | None = None
        self.said: set[tuple[str, str]] = set()

    async def look_at_tickets(self) -> str | None:
        result = await self.executor.run("my_tickets", {})
        told = {ticket["number"] for ticket in result["tickets"]}
        wanted = min(8, len(self.oracle.tickets))
        wrong = told - self.oracle.tickets.keys() or len(told) != wanted
        return f"told {told}" if wrong else None

    async def look_at_assets(self) -> str | None:
        result = await self.executor.run("my_assets", {})
        told = {asset["name"]: asset.get("serial") for asset in result["assets"]}
        wanted = self.assets if self.state.level >= 2 else dict.fromkeys(self.assets)
        return None if told == wanted else f"told {told}"

    async def look_around(self) -> str | None:
        query = self.chance.choice(["VPN disconnects", "printer jam", "new phone"])
        found = await self.executor.run("search_knowledge", {"query": query})
        outages = await self.executor.run("known_outages", {})
        return None if found["articles"] and outages["outages"] else f"{found} {outages}"

    async def open_ticket(self) -> str | None:
        words = {
            "summary": f"Problem {self.chance.randrange(10**9)}",
            "description": "It began this morning.",
        }
        return await self._open(words)

    async def open_again(self) -> str | None:
        """The same wish in the same words: the same ticket."""
        return await self._open(self.last) if self.last is not None else None

    async def _open(self, words: dict[str, str]) -> str | None:
        offer = self.chance.choice([True, False])
        result = await self.executor.run("open_ticket", {**words, "offer": offer})
        if result.get("status") != ("offered" if offer else "asked"):
            return str(result)
        utterance, to_question, to_offer = self.chance.choice(ANSWERS)
        opened = await self._answer(utterance)
        if (opened is not None) != (to_offer if offer else to_question):
            return f"{utterance!r} to {'an offer' if offer else 'a question'} gave {opened}"
        if opened is not None:
            if opened.get("status") != "opened":
                return str(opened)
            self.last = words
            self.oracle.open(opened["ticket"], "incident", **{
                "summary": words["summary"], "text": words["description"],
            })  # fmt: skip
        return None

    async def comment_by_own_words(self) -> str | None:
        if not self.oracle.tickets:
            return None
        number = self.chance.choice(sorted(self.oracle.tickets))
        text = f"I need it before {self.chance.choice(['Friday', 'noon', 'the fair'])}"
        self.state.utterance = f"Can you add that {text}?"
        result = await self.executor.run("comment_on_ticket", {"ticket": number, "text": text})
        if result.get("status") != "added":
            return str(result)
        self._comment(number, text)
        return None

    async def comment_asked(self) -> str | None:
        if not self.oracle.tickets:
            return None
        number = self.chance.choice(sorted(self.oracle.tickets))
        text = f"It happened {self.chance.randrange(10**9)} times"
        self.state.utterance = "It happens all the time."
        result = await self.executor.run("comment_on_ticket", {"ticket": number, "text": text})
        if result.get("status") != "asked":
            return str(result)
        utterance, agrees, _ = self.chance.choice([a for a in ANSWERS if "ticket" not in a[0]])
        added = await self._answer(utterance)
        if (added is not None) != agrees:
            return f"{utterance!r} gave {added}"
        if added is not None:
            if added.get("status") != "added":
                return str(added)
            self._comment(number, text)
        return None

    async def ask_for_callback(self) -> str | None:
        reason = f"Call me about {self.chance.randrange(10**9)}"
        result = await self.executor.run("request_callback", {"reason": reason})
        if result.get("status") != "asked":
            return str(result)
        utterance, agrees, _ = self.chance.choice([a for a in ANSWERS if "ticket" not in a[0]])
        asked = await self._answer(utterance)
        if (asked is not None) != agrees:
            return f"{utterance!r} gave {asked}"
        if asked is not None:
            number = asked.get("callback")
            if number is None or self.callback not in (None, number):
                return f"{asked}, the call's only call-back is {self.callback}"
            if self.callback is None:
                self.callback = number
                self.oracle.open(number, "callback", reason, reason)
        return None

    def _comment(self, number: str, text: str) -> None:
        if (number, text) not in self.said:  # a call's same words again are the same comment
            self.said.add((number, text))
            self.oracle.comment(number, text)

    async def _answer(self, utterance: str) -> dict[str, Any] | None:
        """Say something to what waits, as the desk takes it; None when that was no agreement."""
        state = self.state
        pending, state.pending = state.pending, None
        assert pending is not None
        state.utterance = utterance
        verdict = consent.judge(utterance, state.language, context=pending.mode)
        agreed = verdict == "open_ticket" and pending.tool == "open_ticket"
        if not agreed and not (verdict == "yes" and pending.mode == "asked"):
            return None
        return await self.executor.run_agreed(pending)
