"""The `aurion` command: the whole product on one machine, and what operates it."""

import signal
import sys
from types import FrameType
from typing import NoReturn

import typer
from aurion import database
from aurion.errors import AurionError

from local.commands import (
    call,
    calls,
    cell,
    demo,
    doctor,
    number,
    people,
    prove,
    reset,
    scan,
    telephony,
    tenant,
    up,
)
from local.console import console
from local.operating import CloudRefused
from local.session import NotRunning, PartsMissing, TenantUnclear
from local.stack import RealAccount
from local.state import StackBusy
from local.telephone import CallRefused

app = typer.Typer(
    name="aurion",
    help="AurionAI on this machine: run it, call it, look at what it did.",
    no_args_is_help=True,
    add_completion=False,
    # A traceback with local variables could show what a caller said.
    pretty_exceptions_enable=False,
)
app.command()(demo.demo)
app.command()(up.up)
app.command()(call.call)
app.add_typer(calls.app, name="calls")
app.add_typer(people.app, name="people")
app.add_typer(tenant.app, name="tenant")
app.add_typer(number.app, name="number")
app.add_typer(cell.app, name="cell")
app.add_typer(telephony.app, name="telephony")
app.command()(scan.scan)
app.command()(doctor.doctor)
app.command()(prove.prove)
app.command()(reset.reset)


def main() -> None:
    """Run the command line; expected failures end with one sentence and a status."""
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGHUP, _end)
    try:
        app()
    except RealAccount as refusal:
        console.print(f"[red]{refusal}[/] {refusal.variable} is set: unset it and try again.")
        sys.exit(2)
    except StackBusy:
        console.print("[red]Another command runs the product here.[/] `aurion up` can be shared.")
        sys.exit(2)
    except (
        NotRunning,
        PartsMissing,
        TenantUnclear,
        CallRefused,
        CloudRefused,
        AurionError,
    ) as failure:
        console.print(f"[red]{failure}")
        sys.exit(1)
    finally:
        # Left open, each waits some seconds for its threads when the process ends.
        database.close_pools()


def _end(number: int, _: FrameType | None) -> NoReturn:
    # As Ctrl-C does, so that everything started is stopped in order.
    raise SystemExit(128 + number)
