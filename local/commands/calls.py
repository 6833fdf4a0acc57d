"""`aurion calls`: what calls there were, and what was said and done in one."""

from typing import Annotated
from uuid import UUID

import typer
from aurion import calls as product_calls
from aurion import database, people, recordings, tickets, turns
from aurion.errors import CallNotFound, RecordingNotFound
from rich.markup import escape
from rich.table import Table

from local.console import output
from local.session import find_tenant, use_running

app = typer.Typer(help="The calls there were.", no_args_is_help=True)

type OfTenant = Annotated[str | None, typer.Option("--tenant", help="Company, by name or id.")]


@app.command("list")
def list_calls(
    tenant: OfTenant = None, limit: Annotated[int, typer.Option(min=1, max=500)] = 20
) -> None:
    """List the last calls of a company."""
    owner = find_tenant(use_running(), tenant)
    table = Table("started", "call", "channel", "caller", "level", "outcome", "seconds")
    with database.tenant_transaction(owner.tenant_id) as conn:
        for call in product_calls.list_recent(conn, limit=limit):
            person = people.get(conn, call.person_id).name if call.person_id else "-"
            seconds = "-"
            if call.ended_at and call.answered_at:
                seconds = f"{(call.ended_at - call.answered_at).total_seconds():.0f}"
            table.add_row(
                f"{call.started_at:%Y-%m-%d %H:%M:%S}",
                str(call.id)[:8],
                call.channel,
                person,
                str(call.level),
                call.outcome or call.status,
                seconds,
            )
    output.print(table)


@app.command()
def show(
    call_id: Annotated[str, typer.Argument(help="The call's id, or its beginning.")],
    tenant: OfTenant = None,
) -> None:
    """Show one call: what was said, the tickets, the recording."""
    owner = find_tenant(use_running(), tenant)
    with database.tenant_transaction(owner.tenant_id) as conn:
        call = product_calls.get(conn, _complete(conn, call_id))
        person = people.get(conn, call.person_id).name if call.person_id else "nobody verified"
        output.print(f"[bold]{call.id}[/] {call.channel}, {call.outcome or call.status}")
        output.print(f"caller: {escape(person)}, level {call.level}, {call.language or '-'}")
        for turn in turns.list_all(conn, call.id):
            waited = f" [dim]{turn.reply_ms} ms[/]" if turn.reply_ms is not None else ""
            output.print(f"{turn.seq:>3} {turn.speaker:>6} │ {escape(turn.text)}{waited}")
        for reference in tickets.list_references(conn, call.id):
            output.print(f"ticket {escape(reference.number)}: {reference.kind}")
        try:
            recording = recordings.get(conn, call.id)
            guarded = sum(end - start for start, end in recording.guarded_intervals)
            output.print(
                f"recording: {recording.status}, {(recording.duration_ms or 0) / 1000:.1f} s,"
                f" {guarded / 1000:.1f} s of it silence on purpose, {recording.object_key or '-'}"
            )
        except RecordingNotFound:
            output.print("recording: none")


def _complete(conn: database.Connection, beginning: str) -> UUID:
    found = [
        call.id
        for call in product_calls.list_recent(conn, limit=500)
        if str(call.id).startswith(beginning.lower())
    ]
    if len(found) != 1:
        raise CallNotFound
    return found[0]
