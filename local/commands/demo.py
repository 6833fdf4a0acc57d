"""`aurion demo`: the whole product in one minute, then gone again."""

import asyncio
from typing import Annotated

import typer

from local import reports, seed
from local.console import console
from local.recorded_callers import RECORDED_CALLERS, Script
from local.session import own_stack
from local.transcript import Transcript


def demo(
    caller: Annotated[
        str, typer.Option(help=f"Who calls: {', '.join(RECORDED_CALLERS)}.")
    ] = "alice",
) -> None:
    """Start everything, play a recorded caller through the real agent, show the result, stop."""
    if caller not in RECORDED_CALLERS:
        raise typer.BadParameter(f"There is no recorded caller of this name: {caller}.")
    script = Script(files=RECORDED_CALLERS[caller], dialled_number=seed.NUMBER)
    with own_stack(with_agent=True) as stack:
        from local import calling

        console.print()
        transcript = Transcript(console)
        tenant, call_id = asyncio.run(calling.place(stack.state, script, transcript))
        report = asyncio.run(reports.read(tenant, call_id))
        console.print()
        reports.show(report, stack.state, console)
        console.print("[dim]Stopping. `aurion up` keeps it running, with the desk's own page.")
