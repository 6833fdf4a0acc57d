"""The recorded callers and the canary calls, at once on one stack, as a test run makes them."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tests import canaries
from tests.canaries import CanaryCall, CanaryCalls
from tests.stack_calls import Phone, PlacedCall


@dataclass(frozen=True, slots=True)
class SoundCalls:
    """Everybody who has called, and the search made after the first of them had hung up."""

    callers: dict[str, PlacedCall]
    canaries: CanaryCalls


def call_everybody(phone: Phone, planned: Sequence[CanaryCall]) -> SoundCalls:
    """Place every call, some at a time, and search for the badges while others are under way."""
    at_once = callers_at_once()
    with canaries.claude() as server, ThreadPoolExecutor(at_once) as lines:
        try:
            held = {"tom": lines.submit(_hold, phone, "tom")}  # the longest
            first = [lines.submit(canaries.hold, phone, call, server) for call in planned]
            held |= {who: lines.submit(_hold, phone, who) for who in ("alice", "claire")}
            for call in first:
                call.result()
            looked = canaries.search(phone, planned, server, listen=False)
            return SoundCalls({who: call.result() for who, call in held.items()}, looked)
        finally:
            phone.hang_up_all()
            lines.shutdown(cancel_futures=True)


def callers_at_once() -> int:
    """Say how many callers this machine understands at a time: three, or fewer while it is busy."""
    others = os.getloadavg()[0] / (os.cpu_count() or 1)
    return 3 if others < 3 else 2 if others < 5 else 1


def _hold(phone: Phone, who: str) -> PlacedCall:
    call = phone.dial(who, "--caller", who)
    call.end_in_order()
    return call
