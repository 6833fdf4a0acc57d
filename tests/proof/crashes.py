"""Agents killed in the middle of calls, on a durable database, and a desk that stops."""

import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests import crashes
from tests.integration.local.conftest import start_up, stop
from tests.proof import Proof
from tests.stack_calls import Phone

# (typed, spoken) agents that are killed at once.
_FULL = ((4, 1), (4, 2), (3, 1), (4, 1))
_SMALL = ((1, 1),)


def measure(full: bool) -> Proof:
    """Kill agents at random moments, a few at a time, and stop the desk under a ticket."""
    broken: list[str] = []
    agents = was_open = acknowledged = 0
    recordings: Counter[str] = Counter()
    with running_phone() as phone:
        for seed, (typed, spoken) in enumerate(_FULL if full else _SMALL):
            killed = crashes.kill_agents(phone, typed=typed, spoken=spoken, spoken_s=75, seed=seed)
            met = crashes.summary(killed)
            agents += met["agents"]
            was_open += met["open"]
            acknowledged += met["acknowledged"]
            recordings += met["recordings"]
            broken += met["faults"]
        stops = (0.0, 1.5, 4.0, 6.5) if full else (0.5,)
        for after_s in stops:
            broken += crashes.stop_desk_while_confirming(phone, after_s=after_s)
    kept = ", ".join(f"{count} {status}" for status, count in sorted(recordings.items()))
    markdown = (
        f"{agents} agents killed with SIGKILL at random moments, {was_open} of them in a call that"
        f" was open. Acknowledged turns of callers: {acknowledged}, all kept unless said below;"
        f" call-back tickets: one for each open call, none for a closed one. Recordings: {kept}."
        f"\n\nThe desk stopped while a ticket was confirmed and the agent killed {len(stops)}"
        " time(s), at different moments: one ticket each, and no draft left."
        f"\n\n**{len(broken)}** faults."
    )
    return Proof("Crashes", markdown, broken)


@contextmanager
def running_phone() -> Iterator[Phone]:
    """Start a whole stack with a durable database, with a telephone beside it."""
    with tempfile.TemporaryDirectory(prefix="aurion-proof-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # as root the database runs under an account that must pass
        running = start_up(folder / "called", "--durable")
        phone = Phone(running)
        try:
            yield phone
        finally:
            phone.close()
            stop(running)
