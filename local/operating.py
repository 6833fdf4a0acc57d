"""Commands to the product that runs here, or in an environment in the cloud: the same ones.

In the cloud the function `operate` runs them; who may invoke it is IAM's to say.
"""

import json
from typing import Annotated, Any, Literal

import typer
from aurion import aws, operations
from aurion.aws import AwsRefused

from local.session import TenantUnclear, find_tenant, use_running

type Environment = Annotated[
    Literal["dev", "prod"] | None,
    typer.Option("--env", help="An environment in the cloud, instead of this machine."),
]
type OfTenant = Annotated[str | None, typer.Option("--tenant", help="Company, by name or id.")]

MOST_BYTES = 4_000_000
"""How large a file may be for the cloud, which takes 6 MB of a command's text."""

_ANSWER_S = 610.0


class CloudRefused(Exception):
    """The environment did not do as it was told."""


def operate(command: str, arguments: dict[str, Any], *, env: str | None) -> dict[str, Any]:
    """Run a command here or there, and return its answer.

    Raises CloudRefused with the reason, NotRunning, or what the command itself raises here.
    """
    if env is None:
        use_running()
        return operations.run(command, arguments)
    return _invoke(f"aurion-{env}-operate", {"command": command, "arguments": arguments})


def company(wanted: str | None, *, env: str | None) -> str:
    """Name the company that a command is for; here the seed's is meant when none is named.

    Raises TenantUnclear when the cloud is meant and no company is named.
    """
    if env is None:
        return str(find_tenant(use_running(), wanted).tenant_id)
    if wanted is None:
        raise TenantUnclear(TenantUnclear.__doc__)
    return wanted


def _invoke(function: str, event: dict[str, Any]) -> dict[str, Any]:
    client = aws.client("lambda", connect_s=5, read_s=_ANSWER_S, attempts=1)
    try:
        told = aws.call(
            client, "invoke", FunctionName=function, Payload=json.dumps(event).encode("utf-8")
        )
    except AwsRefused as refusal:
        raise CloudRefused(
            f"{function} can't be invoked: {refusal.code or 'AWS does not answer'}."
        ) from None
    answer: dict[str, Any] = json.loads(told["Payload"].read())
    if told.get("FunctionError"):
        raise CloudRefused(f"{function} failed; its log says where.")
    if "error" in answer:
        raise CloudRefused(answer["error"]["message"])
    result: dict[str, Any] = answer["result"]
    return result
