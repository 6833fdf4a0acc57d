"""`aurion people`: who may call."""

import base64
import sys
from pathlib import Path
from typing import Annotated

import typer
from aurion.people_files import Reason
from rich.table import Table

from local.console import console, output
from local.operating import MOST_BYTES, Environment, OfTenant, company, operate

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


@app.command("import")
def import_csv(
    file: Annotated[
        str,
        typer.Argument(help="CSV: name, badge_id, language, email, phone. A dash: standard input."),
    ],
    tenant: OfTenant = None,
    env: Environment = None,
) -> None:
    """Add and update people from a CSV file; badges are hashed while they are read.

    Rejected rows are named by line and reason, never by what they hold.
    """
    if file != "-" and not Path(file).is_file():
        raise typer.BadParameter("there is no such file")
    rows = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    if env is not None and len(rows) > MOST_BYTES:
        raise typer.BadParameter(f"the cloud takes {MOST_BYTES:,} bytes at a time: split it")
    arguments = {"tenant": company(tenant, env=env), "csv": base64.b64encode(rows).decode()}
    report = operate("people.import", arguments, env=env)
    console.print(
        f"{report['added']} added, {report['changed']} changed, {report['unchanged']} unchanged"
    )
    for rejected in report["rejected"]:
        console.print(f"[yellow]line {rejected['line']}: {_REASONS[rejected['reason']]}")
    if report["rejected"]:
        raise typer.Exit(1)


@app.command("list")
def list_people(tenant: OfTenant = None, env: Environment = None) -> None:
    """List the people of a company."""
    listed = operate("people.list", {"tenant": company(tenant, env=env)}, env=env)
    table = Table("name", "language", "e-mail", "phone", "badge", title=listed["tenant"])
    for person in listed["people"]:
        badge = "restricted" if person["restricted"] else "-"
        if person["enrolled_at"] and not person["restricted"]:
            badge = f"since {person['enrolled_at'][:10]}"
        table.add_row(person["name"], person["language"], person["email"], person["phone"], badge)
    output.print(table)
