"""`aurion doctor`: what is in order here, and what is missing for the cloud."""

import typer
from rich.table import Table

from local.console import output
from local.doctor import Finding, examine

_MARKS = {"ok": "[green]✓", "missing": "[yellow]–", "wrong": "[red]✗"}
_TITLES = {"machine": "This machine", "running": "What runs here", "cloud": "For the cloud"}


def doctor() -> None:
    """Say what is in order here and what the cloud still needs; status 1 when something is wrong.

    Nothing is started, and no value of a variable is shown.
    """
    findings = examine()
    for where, title in _TITLES.items():
        table = Table("", "", "", title=title, show_header=False, title_justify="left", box=None)
        for finding in findings:
            if finding.where == where:
                table.add_row(_MARKS[finding.verdict], finding.what, f"[dim]{finding.remark}")
        output.print(table)
    if any(_is_trouble(finding) for finding in findings):
        raise typer.Exit(1)


def _is_trouble(finding: Finding) -> bool:
    return finding.verdict == "wrong" or (
        finding.verdict == "missing" and finding.where == "machine"
    )
