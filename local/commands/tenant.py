"""`aurion tenant`: the companies that have a desk here."""

from typing import Annotated, cast
from uuid import uuid4

import typer
from aurion import database, phone_numbers, secrets, tenants
from aurion.tenants import Language
from rich.table import Table

from local.console import output
from local.session import use_running

app = typer.Typer(help="The companies that have a desk.", no_args_is_help=True)


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="The company's name.")],
    language: Annotated[
        list[str], typer.Option(help="en, fr, nl or de; the first is the main one.")
    ] = ["en"],  # noqa: B006 - typer copies it
    badge_format: Annotated[
        str, typer.Option(help="What a badge ID looks like, as a pattern.")
    ] = "[0-9]{6}",
) -> None:
    """Add a company; it shares the demo desk."""
    running = use_running()
    tenant_id = uuid4()
    secret = secrets.itsm_secret_name(tenant_id)
    secrets.put(secret, running.desk_token)
    with database.tenant_transaction(tenant_id) as conn:
        tenants.add(
            conn,
            name=name,
            languages=cast("list[Language]", language),
            badge_format=badge_format,
            itsm_kind="demo_desk",
            itsm_url=running.desk_url,
            itsm_secret=secret,
        )
    output.print(f"{name} is {tenant_id}")


@app.command("list")
def list_tenants() -> None:
    """List the companies with their numbers."""
    use_running()
    table = Table("name", "id", "status", "languages", "numbers", "badge format")
    for tenant in tenants.list_all():
        with database.tenant_transaction(tenant.tenant_id) as conn:
            numbers = phone_numbers.list_all(conn)
        languages = ", ".join(tenant.languages)
        table.add_row(
            tenant.name,
            str(tenant.tenant_id),
            tenant.status,
            languages,
            "\n".join(numbers),
            tenant.badge_format,
        )
    output.print(table)
