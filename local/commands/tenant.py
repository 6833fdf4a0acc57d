"""`aurion tenant`: the companies that have a desk."""

import asyncio
from typing import Annotated, Any
from uuid import UUID, uuid4

import typer
from aurion import database, secrets, tenants
from rich.table import Table

from local.console import console, output
from local.operating import Environment, operate
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
    itsm_kind: Annotated[str, typer.Option(help="Which ticket system it has.")] = "demo_desk",
    itsm_url: Annotated[str, typer.Option(help="Where that is, in the cloud.")] = "",
    env: Environment = None,
) -> None:
    """Add a company; on this machine it shares the demo desk."""
    tenant_id = uuid4()
    arguments: dict[str, Any] = {
        "id": str(tenant_id),
        "name": name,
        "languages": language,
        "badge_format": badge_format,
        "itsm_kind": itsm_kind,
        "itsm_url": itsm_url,
    }
    if env is None:
        running = use_running()
        secrets.put(secrets.itsm_secret_name(tenant_id), running.desk_token)
        arguments["itsm_url"] = running.desk_url
    added = operate("tenant.add", arguments, env=env)
    output.print(f"{added['name']} is {added['id']}")
    if env is None:
        asyncio.run(_prepare_greeting(use_running().speech_socket, tenant_id))
    else:
        console.print(f"Its ticket system's secret is read from {added['itsm_secret']}.")


@app.command("list")
def list_tenants(env: Environment = None) -> None:
    """List the companies with their numbers."""
    table = Table("name", "id", "status", "languages", "numbers", "badge format")
    for tenant in operate("tenant.list", {}, env=env)["tenants"]:
        table.add_row(
            tenant["name"],
            tenant["id"],
            tenant["status"],
            ", ".join(tenant["languages"]),
            "\n".join(tenant["numbers"]),
            tenant["badge_format"],
        )
    output.print(table)


async def _prepare_greeting(speech_socket: str, tenant_id: UUID) -> None:
    """Have the greeting rendered now: in French that takes seconds, which a caller would wait."""
    from agent_container import greetings  # takes too long to load for every command
    from agent_container.speech.client import SpeechClient

    with database.tenant_transaction(tenant_id) as conn:
        tenant = tenants.get(conn)
    async with SpeechClient(speech_socket) as speech:
        await greetings.prepare(speech, tenant)
