"""How long a caller hears nothing when their agent is killed, or none comes."""

from statistics import median

from tests import lost_agents
from tests.parts import run_parts
from tests.proof import Proof

_LIMITS = {"after_job": 1.5, "after_worker": 6.0, "without_agent": 10.0}
_TITLES = {
    "after_job": "the call's process is killed: until another agent is heard",
    "after_worker": "the whole worker is killed: until another worker's agent is heard",
    "without_agent": "no worker runs: from coming into the room until the offer is heard",
}


def measure(full: bool) -> Proof:
    """Kill agents and workers under callers on a real voice server."""
    with run_parts(speech=True) as parts:
        found = lost_agents.measure(
            parts.company, parts.folder, parts.speech_socket, times=5 if full else 1
        )
    rows: list[str] = []
    faults: list[str] = []
    for name, limit in _LIMITS.items():
        silences: list[float] = sorted(getattr(found, name))
        worst = silences[-1]
        rows.append(
            f"| {_TITLES[name]} | {len(silences)} | {median(silences):.2f} s | {worst:.2f} s "
            f"| {limit:.1f} s |"
        )
        # One busy moment of the machine is no fault of ours; half of them would be.
        if median(silences) > limit:
            faults.append(f"{_TITLES[name]}: {median(silences):.2f} s")
    table = "\n".join(rows)
    return Proof(
        "Agents that are lost",
        "A caller at telephone quality in a room of a real LiveKit server, the real worker, the"
        " real functions behind the gateway; server, workers and caller on the same machine.\n\n"
        f"| | times | median | worst | at most |\n|---|---|---|---|---|\n{table}",
        faults,
    )
