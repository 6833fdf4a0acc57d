"""What people see: on stdout what they asked for, on stderr everything else."""

import contextlib
import json
import sys
import threading
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn

from local.stack import PARTS, Report

console = Console(stderr=True, highlight=False)
"""Progress, transcripts and refusals."""

output = Console(highlight=False)
"""What a command was asked for, so that it can be piped on."""


@contextlib.contextmanager
def start_progress() -> Iterator[Report]:
    """Show the parts of the stack as they come up, each with its time."""
    with Progress(
        SpinnerColumn(finished_text="[green]✓"),
        TextColumn("{task.description}"),
        TextColumn("[dim]{task.fields[took]}"),
        console=console,
    ) as progress:
        tasks: dict[str, TaskID] = {}
        one_at_a_time = threading.Lock()

        def report(part: str, event: str, seconds: float) -> None:
            with one_at_a_time:
                if event == "started":
                    tasks[part] = progress.add_task(part.ljust(_WIDTH), total=1, took="")
                elif event == "ready":
                    progress.update(tasks[part], completed=1, took=f"{seconds:.1f} s")
                else:
                    progress.update(tasks[part], description=f"[red]{part.ljust(_WIDTH)} failed")

        yield report


def print_json(value: dict[str, Any]) -> None:
    """Write the one object of --json to stdout."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")
    sys.stdout.flush()


_WIDTH = max(map(len, PARTS))
