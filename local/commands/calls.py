"""`aurion calls`: what calls there were, and what was said and done in one."""

from datetime import datetime
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from local.console import output
from local.operating import Environment, OfTenant, company, operate

app = typer.Typer(help="The calls there were.", no_args_is_help=True)


@app.command("list")
def list_calls(
    tenant: OfTenant = None,
    limit: Annotated[int, typer.Option(min=1, max=500)] = 20,
    env: Environment = None,
) -> None:
    """List the last calls of a company."""
    arguments = {"tenant": company(tenant, env=env), "limit": limit}
    table = Table("started", "call", "channel", "caller", "level", "outcome", "seconds")
    for call in operate("calls.list", arguments, env=env)["calls"]:
        table.add_row(
            f"{datetime.fromisoformat(call['started_at']):%Y-%m-%d %H:%M:%S}",
            call["id"][:8],
            call["channel"],
            call["caller"] or "-",
            str(call["level"]),
            call["outcome"] or call["status"],
            "-" if call["seconds"] is None else f"{call['seconds']:.0f}",
        )
    output.print(table)


@app.command()
def show(
    call_id: Annotated[str, typer.Argument(help="The call's id, or its beginning.")],
    tenant: OfTenant = None,
    env: Environment = None,
) -> None:
    """Show one call: what was said, the tickets, the recording."""
    arguments = {"tenant": company(tenant, env=env), "call": call_id}
    call = operate("calls.show", arguments, env=env)
    output.print(f"[bold]{call['id']}[/] {call['channel']}, {call['outcome'] or call['status']}")
    person = escape(call["caller"] or "nobody verified")
    output.print(f"caller: {person}, level {call['level']}, {call['language'] or '-'}")
    for turn in call["turns"]:
        waited = f" [dim]{turn['reply_ms']} ms[/]" if turn["reply_ms"] is not None else ""
        output.print(f"{turn['seq']:>3} {turn['speaker']:>6} │ {escape(turn['text'])}{waited}")
    for ticket in call["tickets"]:
        output.print(f"ticket {escape(ticket['number'])}: {ticket['kind']}")
    recording = call["recording"]
    if recording is None:
        output.print("recording: none")
        return
    output.print(
        f"recording: {recording['status']}, {recording['seconds']:.1f} s,"
        f" {recording['silent_s']:.1f} s of it silence on purpose, {recording['object_key'] or '-'}"
    )
