"""`aurion scan`: prove that a value was left nowhere."""

import asyncio
import sys
from typing import Annotated

import typer
from rich.table import Table

from local.console import console, print_json
from local.scan import Scan, canary
from local.scan import scan as look_everywhere
from local.session import use_running


def scan(
    listen: Annotated[
        bool, typer.Option(help="Transcribe the recordings again and search what was heard.")
    ] = True,
    json_output: Annotated[bool, typer.Option("--json", help="One object on stdout.")] = False,
) -> None:
    """Search every sink for the values on standard input, one a line; status 1 when one is found.

    They are read from standard input because a command line can be seen by every account of the
    machine, and they are never printed.
    """
    running = use_running()
    lines = [line.strip() for line in sys.stdin]
    wanted = [canary(line, number) for number, line in enumerate(lines, 1) if line]
    if not wanted:
        raise typer.BadParameter("No value to look for on standard input.")
    with console.status("looking") as status:
        result = asyncio.run(
            look_everywhere(
                running,
                wanted,
                listen=listen,
                on_sink=lambda sink: status.update(f"looking: {sink}"),
            )
        )
    if json_output:
        print_json(_as_object(result))
    _show(result)
    if result.hits:
        raise typer.Exit(1)


def _show(result: Scan) -> None:
    table = Table("sink", "pieces", "bytes", "hits")
    for sink, (pieces, size) in result.looked_at.items():
        hits = sum(1 for hit in result.hits if hit.sink == sink)
        table.add_row(sink, f"{pieces:,}", f"{size:,}", f"[red]{hits}" if hits else "0")
    console.print(table)
    for hit in result.hits:
        which = f"value {hit.canary} as {hit.form}" if hit.canary else hit.form
        console.print(f"[red]{hit.sink}[/]: {hit.where}: {which}", markup=True)


def _as_object(result: Scan) -> dict[str, object]:
    return {
        "sinks": {
            sink: {
                "pieces": pieces,
                "bytes": size,
                "hits": sum(1 for hit in result.hits if hit.sink == sink),
            }
            for sink, (pieces, size) in result.looked_at.items()
        },
        "hits": [
            {"sink": hit.sink, "where": hit.where, "value": hit.canary, "form": hit.form}
            for hit in result.hits
        ],
    }
