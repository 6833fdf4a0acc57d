"""`aurion number`: the numbers that callers dial."""

from typing import Annotated

import typer

from local.console import console
from local.operating import Environment, OfTenant, company, operate

app = typer.Typer(help="The numbers that callers dial.", no_args_is_help=True)

type Number = Annotated[str, typer.Argument(help="In E.164: +33199000002.")]


@app.command()
def add(number: Number, tenant: OfTenant = None, env: Environment = None) -> None:
    """Give a number to a company."""
    arguments = {"tenant": company(tenant, env=env), "number": number}
    done = operate("number.add", arguments, env=env)
    console.print(f"{done['number']} reaches {done['tenant']}")


@app.command()
def remove(number: Number, tenant: OfTenant = None, env: Environment = None) -> None:
    """Take a number from a company."""
    arguments = {"tenant": company(tenant, env=env), "number": number}
    done = operate("number.remove", arguments, env=env)
    console.print(f"{done['number']} no longer reaches {done['tenant']}")
