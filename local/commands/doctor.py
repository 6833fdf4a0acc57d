"""`aurion doctor`: what is in order here, and what is missing for the cloud."""

from typing import Annotated, Literal

import typer
from rich.markup import escape
from rich.table import Table

from local import cloud
from local.console import output
from local.doctor import Finding, examine

_MARKS = {"ok": "[green]✓", "missing": "[yellow]–", "wrong": "[red]✗"}
_TITLES = {"machine": "This machine", "running": "What runs here", "cloud": "For the cloud"}


def doctor(
    in_the_cloud: Annotated[
        bool, typer.Option("--cloud", help="Look at an AWS account instead of this machine.")
    ] = False,
    env: Annotated[
        Literal["dev", "prod"], typer.Option("--env", help="Which environment, with --cloud.")
    ] = "dev",
) -> None:
    """Say what is in order here and what the cloud still needs; status 1 when something is wrong.

    Nothing is started, and no value of a variable or secret is shown. With --cloud, status 1 says
    that something is missing too.
    """
    findings = list(cloud.examine(env)) if in_the_cloud else examine()
    for where, title in _TITLES.items():
        shown = [finding for finding in findings if finding.where == where]
        if not shown:
            continue
        table = Table("", "", "", title=title, show_header=False, title_justify="left", box=None)
        for finding in shown:
            table.add_row(
                _MARKS[finding.verdict], escape(finding.what), f"[dim]{escape(finding.remark)}"
            )
        output.print(table)
    if any(_is_trouble(finding, in_the_cloud) for finding in findings):
        raise typer.Exit(1)


def _is_trouble(finding: Finding, in_the_cloud: bool) -> bool:
    return finding.verdict == "wrong" or (
        finding.verdict == "missing" and (in_the_cloud or finding.where == "machine")
    )
