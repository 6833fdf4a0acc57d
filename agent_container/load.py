"""Tell CloudWatch how many calls this task has: more tasks are started by it, and fewer kept.

A line of JSON in the embedded metric format, on standard output; the log group it ends up in makes
metrics of it. Source:
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TextIO

NAMESPACE = "AurionAI"
_EVERY_S = 30.0


@dataclass(frozen=True, slots=True)
class Load:
    """What a task carries now; the fields that are None say nothing."""

    ActiveCallsPerTask: int | None
    FreePlaces: int | None
    ProtectionFailures: int

    @classmethod
    def of(cls, calls: int, *, places: int, draining: bool, failures: int) -> "Load":
        """Describe a task; one that takes no more calls would only water the average down."""
        if draining:
            return cls(None, None, failures)
        return cls(calls, max(0, places - calls), failures)


def to_line(load: Load, *, environment: str, agent_name: str, at_ms: int) -> str:
    """Write a load as one line; `at_ms` is the time, in ms since 1970."""
    values = {name: value for name, value in asdict(load).items() if value is not None}
    metrics = [{"Name": name, "Unit": "Count"} for name in values]
    directive = {
        "Namespace": NAMESPACE,
        "Dimensions": [["environment", "agent_name"]],
        "Metrics": metrics,
    }
    described = {"Timestamp": at_ms, "CloudWatchMetrics": [directive]}
    return json.dumps(
        {"_aws": described, "environment": environment, "agent_name": agent_name, **values}
    )


async def publish(
    look: Callable[[], Load],
    *,
    environment: str,
    agent_name: str,
    out: TextIO = sys.stdout,
    every_s: float = _EVERY_S,
) -> None:
    """Write the load again and again, until cancelled."""
    while True:
        now_ms = int(time.time() * 1000)
        line = to_line(look(), environment=environment, agent_name=agent_name, at_ms=now_ms)
        out.write(line + "\n")
        out.flush()
        await asyncio.sleep(every_s)
