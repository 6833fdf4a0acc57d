"""4,000 events of two vendors, told about 20,000 times, while the database is killed twice."""

import tempfile
import time
from pathlib import Path

from local.aws import Aws
from tests import webhooks
from tests.proof import Proof


def measure(full: bool) -> Proof:
    """Tell everything several times, shuffled; then ask about one call fifty times at once."""
    with tempfile.TemporaryDirectory(prefix="aurion-proof-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # as root the database runs under an account that must pass
        aws = Aws(folder / "aws.log").start()
        try:
            aws.provision()
            return _measure(folder, aws, full)
        finally:
            aws.stop()


def _measure(folder: Path, aws: Aws, full: bool) -> Proof:
    processes = webhooks.WORKERS if full else 2
    with webhooks.stand(folder / "stand", aws, most_processes=processes) as here:
        stories = webhooks.tell(
            here.companies,
            calls=350 if full else 18,
            account=here.twilio["account_sid"],
            seed=20261124,
        )
        began = time.monotonic()
        told = webhooks.deliver(
            here,
            stories,
            seed=1,
            crash_after=[0.3, 0.65] if full else [0.4],
            times=range(1, 10) if full else range(1, 5),
        )
        took_s = time.monotonic() - began
        broken = webhooks.judge(here, stories, told)
        line_id, rooms, again = webhooks.ring_at_once(here, company=here.companies[0], times=50)
        rows = here.rows(
            here.companies[0],
            "SELECT count(*) FROM aurion.calls WHERE provider_call_id = %s",
            line_id,
        )
    if (rows, len(rooms)) != ([(1,)], 1):
        broken.append(f"doubled: a call that was asked about 50 times has {rows} rows, {rooms}")
    count = {
        kind: sum(fault.startswith(kind) for fault in broken)
        for kind in ("lost", "doubled", "stale")
    }
    events = sum(len(story.events) for story in stories)
    markdown = (
        f"{events:,} events of Twilio and LiveKit ({len(stories)} calls of 3 companies), told"
        f" {told.deliveries:,} times in shuffled order by {webhooks.WORKERS} workers, signed by"
        " the vendors' own packages, over HTTP through the local gateway to the real handlers;"
        f" durable PostgreSQL killed with SIGKILL {told.crashes} time(s) meanwhile."
        f" {told.refused} deliveries were refused and repeated, {told.waited} callers were told"
        f" to wait and ask again. Final rows against an independent model: **{count['lost']}"
        f" lost, {count['doubled']} doubled, {count['stale']} stale**, {len(broken)} faults in"
        f" all. {told.deliveries / took_s:.0f} deliveries per second, crashes included.\n\n"
        f"One ringing call asked about 50 times at once while the database was killed ({again}"
        f" answers to ask again): {rows[0][0]} row, {len(rooms)} room."
    )
    return Proof("Webhooks", markdown, broken)
