"""`aurion up`: keep the product running."""

import asyncio
import contextlib
import time
from typing import Annotated

import typer
from aurion.errors import DatabaseUnavailable
from rich.panel import Panel

from local import seed, state
from local.console import console
from local.session import own_stack

_ROUND_S = 5.0


def up(
    durable: Annotated[
        bool, typer.Option(help="Have the database write through to the disk: slower, crash-proof.")
    ] = False,
) -> None:
    """Start everything and keep it running until Ctrl-C; calls go in from other terminals."""
    with own_stack(kept_running=True, durable=durable) as stack:
        console.print(
            Panel(
                f"Company      {seed.COMPANY}, {seed.NUMBER}\n"
                f"Demo desk    {stack.state.desk_url}\n"
                f"Webhooks     {stack.state.environment['HOOKS_URL']}\n"
                f"State, logs  {state.home()}\n\n"
                "aurion call --caller alice     a recorded caller\n"
                "aurion call --text             type to the desk\n"
                "aurion calls list              what happened\n"
                "Ctrl-C stops everything.",
                title="AurionAI is up",
                expand=False,
            )
        )
        try:
            asyncio.run(_tend(stack.state))
        except KeyboardInterrupt:
            console.print("Stopping.")


async def _tend(running: state.State) -> None:
    """Bring in what killed agents have recorded, and notice when a part has ended."""
    from agent_container import leftovers  # reads sound: too much for every command's start

    while not (missing := state.dead_parts(running)):
        began = time.monotonic()
        with contextlib.suppress(DatabaseUnavailable):
            await asyncio.to_thread(leftovers.bring_in, state.home() / "recordings")
        await asyncio.sleep(max(0.0, _ROUND_S - (time.monotonic() - began)))
    console.print(f"[red]Ended by itself: {', '.join(missing)}. Its log is in {state.home()}.")
    raise SystemExit(1)
