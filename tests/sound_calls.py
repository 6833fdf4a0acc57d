"""The recorded callers and the canary calls, at once on one stack, as a test run makes them."""

from collections.abc import Sequence
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
    """Place every call at the same time; search for the badges while some are still under way."""
    with canaries.claude() as server:
        try:
            for call in planned:
                canaries.place(phone, call, server)
            callers = {who: phone.dial(who, "--caller", who) for who in ("alice", "tom", "claire")}
            looked = canaries.finish(phone, planned, server)
            for call in callers.values():
                call.end_in_order()
        finally:
            phone.hang_up_all()
    return SoundCalls(callers, looked)
