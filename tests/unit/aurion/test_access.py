"""Who may have what done: every tool at every level, and whatever a hostile model asks for."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from aurion import access
from aurion.access import MOST_WRITES, TOOLS, Allowed
from aurion.errors import NotAllowed, TicketNotFound
from aurion.itsm import Connector, Ticket
from hypothesis import given, settings
from hypothesis import strategies as st

# Written down a second time on purpose: a change of the table has to be made twice.
LEAST_LEVEL = {
    "search_knowledge": 0,
    "known_outages": 0,
    "request_callback": 0,
    "transfer_to_person": 0,
    "end_call": 0,
    "my_tickets": 1,
    "my_assets": 1,
    "open_ticket": 1,
    "comment_on_ticket": 1,
}
WRITES = {"request_callback", "open_ticket", "comment_on_ticket"}
ARGUMENTS: Mapping[str, Mapping[str, object]] = {
    "search_knowledge": {"query": "vpn"},
    "request_callback": {"reason": "please"},
    "transfer_to_person": {"reason": "please"},
    "open_ticket": {"summary": "s", "description": "d", "offer": False},
    "comment_on_ticket": {"ticket": "MD-1", "text": "t"},
}


@dataclass(frozen=True, slots=True)
class State:
    level: int = 0
    person_id: UUID | None = None
    writes: int = 0
    writes_enabled: bool = True
    tenant_id: UUID = field(default_factory=uuid4)
    call_id: UUID = field(default_factory=uuid4)
    epoch: int = 1


def at(level: int) -> State:
    return State(level, uuid4() if level else None)


def may(state: State, tool: str, args: Mapping[str, object] | None = None) -> bool:
    try:
        access.authorize(state, tool, ARGUMENTS.get(tool, {}) if args is None else args)
    except NotAllowed:
        return False
    return True


def test_table_is_complete() -> None:
    assert TOOLS.keys() == LEAST_LEVEL.keys()
    assert {name for name, tool in TOOLS.items() if tool.writes} == WRITES


@pytest.mark.parametrize("level", [0, 1, 2, 3])
@pytest.mark.parametrize("tool", LEAST_LEVEL)
def test_tool_runs_from_its_level_on_and_is_offered_then_only(tool: str, level: int) -> None:
    wanted = level >= LEAST_LEVEL[tool]
    assert may(at(level), tool) == wanted
    assert (tool in access.offered(at(level))) == wanted


@pytest.mark.parametrize("tool", sorted(WRITES))
def test_writing_stops_with_the_switch_and_at_the_limit(tool: str) -> None:
    assert may(replace(at(1), writes=MOST_WRITES - 1), tool)
    assert not may(replace(at(1), writes=MOST_WRITES), tool)
    assert not may(replace(at(3), writes_enabled=False), tool)
    assert tool not in access.offered(replace(at(1), writes=MOST_WRITES))
    assert tool not in access.offered(replace(at(3), writes_enabled=False))


@pytest.mark.parametrize("tool", sorted(LEAST_LEVEL.keys() - WRITES))
def test_reading_goes_on_then(tool: str) -> None:
    assert may(replace(at(3), writes=99, writes_enabled=False), tool)


def test_level_without_a_person_is_no_level() -> None:
    nobody = State(level=3, person_id=None)
    assert {tool for tool in TOOLS if may(nobody, tool)} == {
        tool for tool, level in LEAST_LEVEL.items() if level == 0
    }


@pytest.mark.parametrize("tool", LEAST_LEVEL)
@pytest.mark.parametrize(
    "planted",
    ["tenant_id", "person_id", "requester_id", "level", "call_id", "epoch", "number", "public", ""],
)
def test_argument_the_tool_does_not_take_is_refused(tool: str, planted: str) -> None:
    assert not may(at(3), tool, {**ARGUMENTS.get(tool, {}), planted: "x"})


def test_what_may_be_shown_grows_with_the_level() -> None:
    shown = [access.authorize(at(level), "search_knowledge", {}) for level in range(4)]
    assert [(a.audience, a.serial_numbers) for a in shown] == [
        ("public", False),
        ("internal", False),
        ("internal", True),
        ("internal", True),
    ]


@given(
    st.integers(-1, 5),
    st.booleans(),
    st.integers(0, 20),
    st.booleans(),
    st.sampled_from([*TOOLS, "reset_password", "", "OPEN_TICKET", "__class__"]),
    st.dictionaries(
        st.sampled_from(
            ["query", "ticket", "text", "summary", "description", "tenant_id", "level"]
        ),
        st.one_of(st.text(), st.integers(), st.none(), st.uuids()),
    ),
)
@settings(max_examples=500, deadline=None)
def test_hostile_model_gets_nothing_above_the_level(
    level: int, known: bool, writes: int, enabled: bool, tool: str, args: dict[str, object]
) -> None:
    state = State(level, uuid4() if known else None, writes, enabled)
    if not may(state, tool, args):
        return
    assert tool in LEAST_LEVEL
    assert level >= LEAST_LEVEL[tool]
    assert LEAST_LEVEL[tool] == 0 or known
    assert tool not in WRITES or (enabled and writes < MOST_WRITES)
    assert not args.keys() & {"tenant_id", "level"}
    allowed = access.authorize(state, tool, args)
    assert isinstance(allowed, Allowed)
    assert allowed.audience == "public" or level >= 1
    assert not allowed.serial_numbers or level >= 2


@dataclass(slots=True)
class OneTicketDesk:
    """Only what is asked of it here; a real desk stands in the tests of tickets."""

    ticket: Ticket

    async def get_ticket(self, number: str) -> Ticket:
        if number != self.ticket.number:
            raise TicketNotFound
        return self.ticket


async def test_ticket_of_somebody_else_looks_like_none() -> None:
    moment = datetime(2026, 11, 24, tzinfo=UTC)
    ticket = Ticket("MD-1", "s", "d", "open", "", "incident", "R-1", moment, moment)
    desk: Connector = OneTicketDesk(ticket)  # type: ignore[assignment]
    assert await access.owned_ticket(desk, requester_id="R-1", number="MD-1") == ticket
    answers: set[str] = set()
    for requester, number in (("R-2", "MD-1"), (None, "MD-1"), ("R-1", "MD-2")):
        with pytest.raises(TicketNotFound) as caught:
            await access.owned_ticket(desk, requester_id=requester, number=number)
        answers.add(str(caught.value))
    assert len(answers) == 1
    orphan: Connector = OneTicketDesk(replace(ticket, requester_id=None))  # type: ignore[assignment]
    with pytest.raises(TicketNotFound):
        await access.owned_ticket(orphan, requester_id=None, number="MD-1")
