"""A gateway over functions of a test's own, written into a folder."""

import json
import os
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from local import aws as local_aws
from local.aws import Aws
from local.gateway.process import GatewayProcess, start_gateway

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For clients of loopback: to read the machine's authorities takes longer than most requests."""

TABLE_ENTRY = """
[[function]]
name = "{name}"
purpose = "Serve a test of the gateway."
{trigger}
memory_mb = {memory_mb}
timeout_s = {timeout_s}
reserved_concurrency = {concurrency}
layers = ["shared"]
database_roles = {roles}
environment = {environment}
grants = []
[[function.alarm]]
metric = "Errors"
threshold = 1
period_s = 60
runbook = "function-errors"
"""


def add_function(
    folder: Path,
    name: str,
    source: str,
    *,
    route: str | None = None,
    schedule: str | None = None,
    queue: str | None = None,
    memory_mb: int = 128,
    timeout_s: int = 5,
    concurrency: int = 5,
    roles: tuple[str, ...] = (),
    environment: tuple[str, ...] = (),
) -> None:
    """Write a handler, and its entry into the folder's table."""
    triggers, lines = [], []
    for kind, line in (
        ("http", route and f'route = "{route}"\ndomain = "hooks"\nauth = "none"'),
        ("schedule", schedule and f'schedule = "{schedule}"'),
        ("queue", queue and f'queue = "{queue}"'),
    ):
        if line:
            triggers.append(kind)
            lines.append(line)
    lines.append(f"triggers = {json.dumps(triggers or ['invoke'])}")
    (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / name / "handler.py").write_text(source)
    with (folder / "functions.toml").open("a") as table:
        table.write(
            TABLE_ENTRY.format(
                name=name,
                trigger="\n".join(lines),
                memory_mb=memory_mb,
                timeout_s=timeout_s,
                concurrency=concurrency,
                roles=json.dumps(list(roles)),
                environment=json.dumps(list(environment)),
            )
        )


def add_queue(folder: Path, name: str, *, visibility_s: int, max_receives: int) -> None:
    """Write a queue's entry into the folder's table."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "functions.toml").open("a") as table:
        table.write(
            f'[[queue]]\nname = "{name}"\nvisibility_s = {visibility_s}\n'
            f'max_receives = {max_receives}\nrunbook = "a-queue"\n'
        )


@contextmanager
def gateway_over(
    folder: Path,
    *,
    settings: Mapping[str, str] | None = None,
    aws: Aws | None = None,
    **options: Any,
) -> Iterator[GatewayProcess]:
    """Run a gateway over a folder of functions; `settings` is what the stack would know."""
    environment = {
        "PATH": os.environ["PATH"],
        **(aws.environment() if aws else local_aws.client_environment("http://127.0.0.1:9")),
        **(settings or {}),
    }
    running = start_gateway(folder / "logs", environment=environment, functions=folder, **options)
    try:
        yield running
    finally:
        running.stop()


def log_lines(folder: Path) -> list[dict[str, Any]]:
    """Read the gateway's own log."""
    lines = (folder / "logs" / "gateway.log").read_text().splitlines()
    return [json.loads(line) for line in lines]
