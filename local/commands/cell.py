"""`aurion cell`: agents of a company's own, in the cloud."""

from typing import Annotated, Any, Literal

import typer

from local.console import output
from local.operating import operate

app = typer.Typer(help="Agents of a company's own, in the cloud.", no_args_is_help=True)

type InTheCloud = Annotated[
    Literal["dev", "prod"], typer.Option("--env", help="The environment in the cloud.")
]
type Company = Annotated[str, typer.Argument(help="The company, by name or id.")]


@app.command()
def want(
    company: Company,
    env: InTheCloud,
    min_tasks: Annotated[int, typer.Option(help="Tasks that always run.")] = 1,
    max_tasks: Annotated[int, typer.Option(help="Tasks that may run at most.")] = 4,
) -> None:
    """Have a company's calls served by agents of its own; they are there within minutes."""
    wanted = {"tenant": company, "min_tasks": min_tasks, "max_tasks": max_tasks}
    _print(operate("cell.want", wanted, env=env))


@app.command("give-up")
def give_up(company: Company, env: InTheCloud) -> None:
    """Have a company's calls served by the shared agents again; its own leave after their calls."""
    _print(operate("cell.give_up", {"tenant": company}, env=env))


@app.command()
def show(company: Company, env: InTheCloud) -> None:
    """Say how far a company's own agents are."""
    _print(operate("cell.show", {"tenant": company}, env=env))


def _print(cell: dict[str, Any]) -> None:
    output.print(
        f"{'wanted' if cell['wanted'] else 'not wanted'}, {cell['state']},"
        f" {'taking calls' if cell['taking_calls'] else 'not taking calls'}"
    )
