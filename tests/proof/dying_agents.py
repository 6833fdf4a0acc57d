"""Agents and the database killed at random moments, at full size."""

from tests import dying_agents
from tests.proof import Proof

_SEED = 20261124


def measure(full: bool) -> Proof:
    """Kill agents and the database, and hold what is left against what had been told."""
    kills, crashes = (60, 8) if full else (4, 1)
    found = dying_agents.let_die(kills=kills, crashes=crashes, seed=_SEED)
    rows = {
        "agents killed (SIGKILL)": found.kills,
        "database crashes (SIGQUIT, durable)": found.crashes,
        "turns told after their commit": found.turns,
        "tickets told or promised": found.wishes,
        "drafts that waited for their sweeper": found.waited,
        "calls": found.calls,
        "of them interrupted, with one call-back each": found.interrupted,
        "lost, doubled or left open": len(found.faults),
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    return Proof(
        "Agents and a database that die",
        f"Seed {_SEED}. Two agents at a time, two sweepers all the while.\n\n"
        f"| | |\n|---|---|\n{table}",
        found.faults,
    )
