"""Agents and the database killed at random: nothing told is lost, nothing is done twice."""

from tests import dying_agents


def test_nothing_told_is_lost_and_nothing_is_done_twice() -> None:
    found = dying_agents.let_die(kills=4, crashes=1, seed=20261124)
    assert found.faults == []
    assert found.turns > 20
    assert found.wishes > 0
    assert found.interrupted >= 1
