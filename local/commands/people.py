"""`aurion people`: who may call."""

from pathlib import Path
from typing import Annotated

import typer
from aurion import database, people
from aurion.people_files import Reason
from rich.table import Table

from local.console import console, output
from local.session import find_tenant, use_running

app = typer.Typer(help="The people who may call.", no_args_is_help=True)

_REASONS: dict[Reason, str] = {
    "encoding": "holds characters that are no UTF-8 or UTF-16",
    "malformed": "is no row of a CSV file",
    "too_long": "is too long",
    "columns": "has more columns than the header",
    "name_missing": "has no name",
    "name_malformed": "has a name that can't be one",
    "email_missing": "has no e-mail address",
    "email_malformed": "has an e-mail address that can't be one",
    "email_duplicate": "has the e-mail address of a line above",
    "badge_missing": "has no badge ID",
    "badge_malformed": "has a badge ID that is not in the company's badge format",
    "badge_duplicate": "has the badge ID of a line above",
    "language_unknown": "has a language the desk doesn't speak",
    "phone_malformed": "has a phone number that is not international",
}

type OfTenant = Annotated[str | None, typer.Option("--tenant", help="Company, by name or id.")]


@app.command("import")
def import_csv(
    file: Annotated[
        Path,
        typer.Argument(
            help="CSV: name, badge_id, language, email, phone.", exists=True, dir_okay=False
        ),
    ],
    tenant: OfTenant = None,
) -> None:
    """Add and update people from a CSV file; badges are hashed while they are read.

    Rejected rows are named by line and reason, never by what they hold.
    """
    owner = find_tenant(use_running(), tenant)
    with file.open("rb") as rows:
        report = people.import_csv(owner, rows)
    console.print(f"{report.added} added, {report.changed} changed, {report.unchanged} unchanged")
    for rejected in report.rejected:
        console.print(f"[yellow]line {rejected.line}: {_REASONS[rejected.reason]}")
    if report.rejected:
        raise typer.Exit(1)


@app.command("list")
def list_people(tenant: OfTenant = None) -> None:
    """List the people of a company."""
    owner = find_tenant(use_running(), tenant)
    table = Table("name", "language", "e-mail", "phone", "badge", title=owner.name)
    with database.tenant_transaction(owner.tenant_id) as conn:
        after = None
        while page := people.list_all(conn, after=after):
            for person in page:
                badge = "restricted" if person.restricted else "-"
                if person.enrolled_at and not person.restricted:
                    badge = f"since {person.enrolled_at:%Y-%m-%d}"
                table.add_row(person.name, person.language, person.email, person.phone, badge)
            after = (page[-1].name_norm, page[-1].id)
    output.print(table)
