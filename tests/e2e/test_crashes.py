"""Agents that are killed: nothing acknowledged is lost, every open call gets one call-back."""

from concurrent.futures import Future

from tests import crashes
from tests.crashes import Killing
from tests.stack_calls import Phone


def test_agents_killed_at_random_moments_lose_nothing_acknowledged(
    killed_agents: Future[list[Killing]],
) -> None:
    killed = killed_agents.result()
    met = crashes.summary(killed)
    assert met["faults"] == [], "\n".join(kill.call.shown for kill in killed)
    assert met["open"] >= 2, met
    assert met["acknowledged"] >= 3, met


def test_ticket_confirmed_while_the_desk_stops_and_the_agent_dies_is_opened_once(
    phone: Phone,
) -> None:
    assert crashes.stop_desk_while_confirming(phone, after_s=1.0) == []
