"""A badge said in every way a call allows, and what of it can be found anywhere afterwards."""

from tests import canaries
from tests.canaries import CanaryCall
from tests.proof import Proof
from tests.proof.crashes import running_phone


def measure(full: bool) -> Proof:
    """Hold the calls one after the other, search every sink, judge every recording."""
    planned = [CanaryCall("alice")]
    if full:
        planned += [
            CanaryCall("alice", keyed=True, claude=True, person=True),
            CanaryCall("alice", claude=True),
            CanaryCall("alice", keyed=True),
            CanaryCall("claire"),
            CanaryCall("claire", keyed=True, claude=True),
        ]
    broken: list[str] = []
    with running_phone() as phone, canaries.claude() as server:
        for call in planned:
            canaries.hold(phone, call, server)
        looked = canaries.search(phone, planned, server, listen=True)
        for call in planned:
            broken += [
                f"{call.name}: {fault}" for fault in canaries.faults(phone, call, listen=False)
            ]
    broken += [f"found in {hit['sink']}: {hit['where']}" for hit in looked.scan["hits"]]
    sinks = looked.scan["sinks"]
    rows = "\n".join(
        f"| {sink} | {amount['pieces']:,} | {amount['bytes']:,} | {amount['hits']} |"
        for sink, amount in sinks.items()
    )
    markdown = (
        f"{len(planned)} calls in which the badge is given and then volunteered twice more, in"
        f" words and split over two utterances: {'; '.join(call.name for call in planned)}."
        " Guarded stretches of the recordings are exact zeros; the sentences around them are"
        " there.\n\n| Sink | Pieces | Bytes | Hits |\n| --- | ---: | ---: | ---: |\n" + rows
    )
    return Proof("Canary", markdown, broken)
