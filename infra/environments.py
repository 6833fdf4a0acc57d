"""Where the product is deployed to, and how large: dev and prod."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

REGION = "eu-west-3"
"""Paris. Everything stands there; nothing here takes another region as a parameter."""

NO_ACCOUNT = "111111111111"
"""Stands in the templates of a machine without credentials; the CLI refuses to deploy to it."""

type EnvironmentName = Literal["dev", "prod"]

_ACCOUNT = re.compile(r"[0-9]{12}")
_DOMAIN = re.compile(r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,}")
_ZONE = re.compile(r"Z[A-Z0-9]{5,32}")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


class EnvironmentMalformed(Exception):
    """A variable that describes an environment has no usable value."""


@dataclass(frozen=True, slots=True)
class Domain:
    """A domain of ours, and the Route 53 zone that holds it."""

    name: str
    hosted_zone_id: str

    @property
    def hooks(self) -> str:
        """The host that vendors send their webhooks to."""
        return f"hooks.{self.name}"


@dataclass(frozen=True, slots=True)
class Environment:
    """One deployment: its account, its names, its sizes (ACU, tasks, days)."""

    name: EnvironmentName
    account: str
    domain: Domain | None
    alarm_email: str | None
    database_min_acu: float
    database_max_acu: float
    database_instances: int
    nat_gateways: int
    log_days: int
    agent_tasks_min: int
    agent_tasks_max: int
    region: str = REGION

    @property
    def prefix(self) -> str:
        """What every physical name begins with."""
        return f"aurion-{self.name}"

    @property
    def boundary_name(self) -> str:
        """The managed policy no role of this environment reaches beyond."""
        return f"{self.prefix}-boundary"

    @property
    def boundary_arn(self) -> str:
        """The ARN of the permissions boundary."""
        return f"arn:aws:iam::{self.account}:policy/{self.boundary_name}"

    def arn(self, service: str, resource: str) -> str:
        """Name a resource of this account and region."""
        return f"arn:aws:{service}:{self.region}:{self.account}:{resource}"

    def function_name(self, name: str) -> str:
        """Name a Lambda function; `name` is its entry in the table of functions."""
        return f"{self.prefix}-{name.replace('_', '-')}"

    def queue_name(self, name: str) -> str:
        """Name a queue, or a dead-letter queue, of the table of functions."""
        return f"{self.prefix}-{name.replace('_', '-')}"

    def queue_url(self, name: str) -> str:
        """Return the URL of a queue of the table of functions."""
        return f"https://sqs.{self.region}.amazonaws.com/{self.account}/{self.queue_name(name)}"

    def bucket_name(self, name: str) -> str:
        """Name a bucket; bucket names are the whole world's, so the account stands in them."""
        return f"{self.prefix}-{name}-{self.account}"

    def secret_name(self, name: str) -> str:
        """Name a secret."""
        return f"aurion/{self.name}/{name}"

    def log_group_name(self, name: str) -> str:
        """Name a log group."""
        return f"/aurion/{self.name}/{name.replace('_', '-')}"


_DEV = Environment(
    name="dev",
    account=NO_ACCOUNT,
    domain=None,
    alarm_email=None,
    database_min_acu=0.5,
    database_max_acu=2,
    database_instances=1,
    nat_gateways=1,
    log_days=14,
    agent_tasks_min=1,
    agent_tasks_max=4,
)
_PROD = replace(
    _DEV,
    name="prod",
    # A caller can't wait for a database that has to wake, or for one that moves to the other zone.
    database_max_acu=16,
    database_instances=2,
    log_days=30,
    agent_tasks_min=2,
    agent_tasks_max=50,
)


def read(name: EnvironmentName, variables: Mapping[str, str]) -> Environment:
    """Read an environment; without variables it has no domain, and no account to deploy to.

    `AURION_<NAME>_ACCOUNT` (else the account of the CLI's credentials), `AURION_<NAME>_DOMAIN` with
    `AURION_<NAME>_HOSTED_ZONE_ID`, and `AURION_<NAME>_ALARM_EMAIL`.

    Raises:
        EnvironmentMalformed: A value has not the form it must have, or one of two is missing.
    """
    start = f"AURION_{name.upper()}_"
    account = variables.get(f"{start}ACCOUNT") or variables.get("CDK_DEFAULT_ACCOUNT") or NO_ACCOUNT
    domain = variables.get(f"{start}DOMAIN") or None
    zone = variables.get(f"{start}HOSTED_ZONE_ID") or None
    email = variables.get(f"{start}ALARM_EMAIL") or None
    if not _ACCOUNT.fullmatch(account):
        raise EnvironmentMalformed(f"{start}ACCOUNT is no account number.")
    if (domain is None) != (zone is None):
        raise EnvironmentMalformed(f"{start}DOMAIN and {start}HOSTED_ZONE_ID go together.")
    if domain is not None and not _DOMAIN.fullmatch(domain):
        raise EnvironmentMalformed(f"{start}DOMAIN is no domain name.")
    if zone is not None and not _ZONE.fullmatch(zone):
        raise EnvironmentMalformed(f"{start}HOSTED_ZONE_ID is no hosted zone's id.")
    if email is not None and not _EMAIL.fullmatch(email):
        raise EnvironmentMalformed(f"{start}ALARM_EMAIL is no e-mail address.")
    return replace(
        _PROD if name == "prod" else _DEV,
        account=account,
        domain=Domain(domain, zone) if domain and zone else None,
        alarm_email=email,
    )
