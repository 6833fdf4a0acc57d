"""`aurion telephony`: the telephone side of the product, as it should be."""

import asyncio
from typing import Annotated, Any

import typer
from aurion import aws, telephony
from aurion.aws import AwsRefused
from aurion.rooms import VoiceServer
from aurion.settings import settings
from aurion.telephony import Company
from aurion.twilio_numbers import Account

from local.console import console, output
from local.operating import CloudRefused, Environment, operate

app = typer.Typer(help="The telephone side: trunk, rules, numbers.", no_args_is_help=True)


@app.callback()
def telephone_side() -> None:
    """Keep `apply` a subcommand while it is the only one."""


@app.command()
def apply(
    env: Environment = None,
    hooks_url: Annotated[
        str | None,
        typer.Option(help="Where Twilio reaches the functions, if not where they say themselves."),
    ] = None,
    livekit_anywhere: Annotated[
        bool, typer.Option(help="Take a voice server that isn't known to be in the EU.")
    ] = False,
    twilio_anywhere: Annotated[
        bool, typer.Option(help="Take a Twilio account that is used outside of Ireland (IE1).")
    ] = False,
) -> None:
    """Set up the voice server and Twilio for every company; done again, it changes nothing."""
    listed = operate("telephony.companies", {}, env=env)["companies"]
    voice_secret = None if env is None else f"aurion/{env}/livekit"
    twilio_secret = None if env is None else f"aurion/{env}/twilio"
    url = hooks_url or (settings().hooks_url if env is None else find_hooks_url(env))
    if not url.startswith("https://"):
        raise typer.BadParameter(f"Twilio can't reach {url}: name an address with --hooks-url.")
    done = asyncio.run(
        telephony.apply(
            [Company.of(described) for described in listed],
            voice=VoiceServer.from_secret(voice_secret),
            account=Account.from_secret(twilio_secret),
            hooks_url=url.rstrip("/"),
            voice_anywhere=livekit_anywhere,
            twilio_anywhere=twilio_anywhere,
        )
    )
    for line in done.changed or ["Nothing to change."]:
        output.print(line)
    for line in done.unseen:
        console.print(f"[yellow]{line}[/]")


def find_hooks_url(env: str) -> str:
    """Ask the function that answers Twilio by which address it checks signatures."""
    function = f"aurion-{env}-twilio-voice"
    try:
        found: dict[str, Any] = aws.call(
            aws.client("lambda"), "get_function_configuration", FunctionName=function
        )
    except AwsRefused as refusal:
        raise CloudRefused(
            f"{function} can't be read: {refusal.code or 'AWS does not answer'}."
        ) from None
    url = found.get("Environment", {}).get("Variables", {}).get("HOOKS_URL")
    if not url:
        raise CloudRefused(f"{function} doesn't say its address: name it with --hooks-url.")
    return str(url)
