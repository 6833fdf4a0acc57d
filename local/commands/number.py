"""`aurion number`: the numbers that callers dial."""

from typing import Annotated

import typer
from aurion import database, phone_numbers

from local.console import console
from local.session import find_tenant, use_running

app = typer.Typer(help="The numbers that callers dial.", no_args_is_help=True)


@app.callback()
def numbers() -> None:
    """Keep `add` a subcommand while it is the only one."""


@app.command()
def add(
    number: Annotated[str, typer.Argument(help="In E.164: +33199000002.")],
    tenant: Annotated[str | None, typer.Option(help="Company, by name or id.")] = None,
) -> None:
    """Give a number to a company."""
    owner = find_tenant(use_running(), tenant)
    with database.tenant_transaction(owner.tenant_id) as conn:
        phone_numbers.add(conn, number)
    console.print(f"{number} reaches {owner.name}")
