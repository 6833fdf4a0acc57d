"""`aurion call`: another caller, by recorded audio or by typing."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from local import reports, seed
from local.console import console, print_json
from local.recorded_callers import RECORDED_CALLERS, Script
from local.session import running_or_own
from local.transcript import Transcript


def call(
    audio: Annotated[
        list[Path] | None,
        typer.Option(help="A sentence of the caller; repeat it.", exists=True, dir_okay=False),
    ] = None,
    caller: Annotated[
        str | None, typer.Option(help=f"A recorded caller: {', '.join(RECORDED_CALLERS)}.")
    ] = None,
    text: Annotated[bool, typer.Option("--text", help="Type the caller's sentences.")] = False,
    from_number: Annotated[
        str | None, typer.Option("--from", help="The calling number, in E.164; else withheld.")
    ] = None,
    to_number: Annotated[
        str, typer.Option("--to", help="The number that is dialled.")
    ] = seed.NUMBER,
    keys: Annotated[
        str | None, typer.Option(help="Digits pressed where the badge would be spoken.")
    ] = None,
    json_output: Annotated[
        bool, typer.Option("--json", help="One object on stdout when the call is over.")
    ] = False,
) -> None:
    """Call the desk; uses what runs here, else starts it for this call alone.

    The status is 0 when the call ended in order, whatever came of it.
    """
    if sum((audio is not None, caller is not None, text)) != 1:
        raise typer.BadParameter("Give one of --audio, --caller and --text.")
    if caller is not None and caller not in RECORDED_CALLERS:
        raise typer.BadParameter(f"There is no recorded caller of this name: {caller}.")
    # The voice framework takes seconds to import: only a call waits for it.
    from local import calling

    script = Script(
        files=tuple(audio) if audio is not None else RECORDED_CALLERS.get(caller or "", ()),
        keys=keys,
        calling_number=from_number,
        dialled_number=to_number,
    )
    with running_or_own() as running:
        transcript = Transcript(console)
        tenant, call_id = asyncio.run(calling.place(running, script, transcript))
        report = asyncio.run(reports.read(tenant, call_id))
        reports.show(report, running, console)
        if json_output:
            print_json(reports.as_object(report))
