"""`aurion prove`: what only a real account can prove."""

import asyncio
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import typer
from aurion import trunks
from aurion.rooms import VoiceServer
from rich.markup import escape

from local import proving
from local.commands.telephony import find_hooks_url
from local.console import console, output
from local.operating import operate
from local.proving import Proof

_MARKS = {"pass": "[green]PASS", "fail": "[red]FAIL", "not proved": "[yellow]NOT PROVED"}


def prove(
    env: Annotated[Literal["dev", "prod"], typer.Option("--env", help="Which environment.")],
    tenant: Annotated[str, typer.Option(help="The company whose number is called.")],
    call: Annotated[
        bool, typer.Option(help="Also be led through a telephone call, step by step.")
    ] = True,
) -> None:
    """Prove TLS, SIP, keys, REFER and Twilio's callbacks in an environment; status 1 on a FAIL.

    With a call it takes a telephone, and somebody who is enrolled with name and badge.
    """
    failed = False
    for proof in _prove(env, tenant, call):
        output.print(
            f"{_MARKS[proof.verdict]:<10}[/] {escape(proof.what)} [dim]{escape(proof.seen)}"
        )
        failed = failed or proof.verdict == "fail"
    if failed:
        raise typer.Exit(1)


def _prove(env: str, tenant: str, call: bool) -> Iterator[Proof]:
    yield proving.judge_database(operate("database.connection", {}, env=env))
    yield from proving.look_at_hooks(find_hooks_url(env))
    voice = VoiceServer.from_secret(f"aurion/{env}/livekit")
    yield proving.look_at_sip(voice.sip_host)
    yield proving.judge_trunk(asyncio.run(trunks.list_trunks(server=voice)))
    if not call:
        return
    described = next(
        (
            found
            for found in operate("tenant.list", {}, env=env)["tenants"]
            if tenant.casefold() in (found["name"].casefold(), found["id"])
        ),
        None,
    )
    if described is None or not described["numbers"]:
        yield Proof("a call", "fail", "there is no such company, or it has no number")
        return
    known = {found["id"] for found in _calls(env, tenant)}

    def newest() -> dict[str, Any] | None:
        return next((found for found in _calls(env, tenant) if found["id"] not in known), None)

    yield from proving.watch(
        described["numbers"][0], newest, lambda words: console.print(f"[bold]→ {words}")
    )


def _calls(env: str, tenant: str) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = operate("calls.list", {"tenant": tenant, "limit": 5}, env=env)[
        "calls"
    ]
    return listed
