"""The CloudFormation stacks of companies' own agents, all made from one release of them.

CloudFormation is where the truth is: which stacks there are, in what condition, and from which
release each was made, which a tag of the stack says.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from aurion import aws
from aurion.aws import AwsRefused
from aurion.errors import ReleaseNotFound
from aurion.settings import settings

RELEASE_TAG = "aurion:release"
_GONE = "DELETE_COMPLETE"


@dataclass(frozen=True, slots=True)
class Release:
    """What companies' agents are made of: a template, its parameters, the role that makes them."""

    template_url: str
    role_arn: str
    parameters: Mapping[str, str]

    def of_cell(self, min_tasks: int, max_tasks: int) -> str:
        """Name this release together with what is a company's own, in 16 hexadecimal digits."""
        text = json.dumps([self.template_url, dict(self.parameters), min_tasks, max_tasks])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Stack:
    """A company's stack: CloudFormation's word for its condition, and what it was made from."""

    tenant_id: UUID
    status: str
    release: str | None

    @property
    def is_changing(self) -> bool:
        """CloudFormation is at work on it."""
        return self.status.endswith("_IN_PROGRESS")

    @property
    def has_agents(self) -> bool:
        """Its service has been there and still is: made, changed, or changed back."""
        return self.status in {"CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"}

    @property
    def never_worked(self) -> bool:
        """It can only be deleted."""
        return self.status in {"CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED"}


def name_of(tenant_id: UUID) -> str:
    """Name a company's stack."""
    return f"{_prefix()}{tenant_id}"


def agent_name_of(tenant_id: UUID) -> str:
    """Name what a call is dispatched to, to reach a company's own agents."""
    return f"aurion-{tenant_id}"


def read_release() -> Release:
    """Read what companies' agents are made of at present.

    Raises:
        ReleaseNotFound: No release of the agents has been deployed here.
        AwsRefused: The parameter can't be read.
    """
    name = f"/aurion/{settings().environment}/cell-release"
    try:
        found = aws.call(aws.client("ssm"), "get_parameter", Name=name)["Parameter"]["Value"]
    except AwsRefused as refusal:
        if refusal.code == "ParameterNotFound":
            raise ReleaseNotFound from None
        raise
    return Release(**json.loads(found))


def list_all() -> dict[UUID, Stack]:
    """List companies' stacks, whichever state they are in.

    Raises:
        AwsRefused: CloudFormation refuses, or does not answer.
    """
    found: dict[UUID, Stack] = {}
    more: dict[str, str] = {}
    while True:
        page = _call("describe_stacks", **more)
        for stack in page["Stacks"]:
            tenant_id = _tenant_of(stack["StackName"])
            if tenant_id is not None and stack["StackStatus"] != _GONE:
                tags = {tag["Key"]: tag["Value"] for tag in stack.get("Tags", [])}
                release = tags.get(RELEASE_TAG)
                found[tenant_id] = Stack(tenant_id, stack["StackStatus"], release)
        if not page.get("NextToken"):
            return found
        more = {"NextToken": page["NextToken"]}


def create(tenant_id: UUID, release: Release, *, min_tasks: int, max_tasks: int) -> None:
    """Begin to make a company's stack; one that is there is left as it is.

    Raises:
        AwsRefused: CloudFormation refuses, or does not answer.
    """
    try:
        _call(
            "create_stack",
            **_wish(tenant_id, release, min_tasks, max_tasks),
            OnFailure="DELETE",
            TimeoutInMinutes=30,
        )
    except AwsRefused as refusal:
        if refusal.code != "AlreadyExistsException":
            raise


def update(tenant_id: UUID, release: Release, *, min_tasks: int, max_tasks: int) -> None:
    """Begin to bring a company's stack to a release.

    Raises:
        AwsRefused: CloudFormation refuses, or does not answer.
    """
    _call("update_stack", **_wish(tenant_id, release, min_tasks, max_tasks))


def continue_rollback(tenant_id: UUID, release: Release) -> None:
    """Have CloudFormation go on where it failed to go back.

    Raises:
        AwsRefused: CloudFormation refuses, or does not answer.
    """
    _call("continue_update_rollback", StackName=name_of(tenant_id), RoleARN=release.role_arn)


def delete(tenant_id: UUID, release: Release) -> None:
    """Begin to delete a company's stack; one that is gone is no error.

    Raises:
        AwsRefused: CloudFormation refuses, or does not answer.
    """
    _call("delete_stack", StackName=name_of(tenant_id), RoleARN=release.role_arn)


def _wish(tenant_id: UUID, release: Release, min_tasks: int, max_tasks: int) -> dict[str, Any]:
    own = {"TenantId": str(tenant_id), "MinTasks": str(min_tasks), "MaxTasks": str(max_tasks)}
    return {
        "StackName": name_of(tenant_id),
        "TemplateURL": release.template_url,
        "RoleARN": release.role_arn,
        "Capabilities": ["CAPABILITY_NAMED_IAM"],
        "Parameters": [
            {"ParameterKey": name, "ParameterValue": value}
            for name, value in {**release.parameters, **own}.items()
        ],
        "Tags": [
            {"Key": "tenant", "Value": str(tenant_id)},
            {"Key": RELEASE_TAG, "Value": release.of_cell(min_tasks, max_tasks)},
        ],
    }


def _tenant_of(stack_name: str) -> UUID | None:
    if not stack_name.startswith(_prefix()):
        return None
    try:
        return UUID(stack_name.removeprefix(_prefix()))
    except ValueError:
        return None


def _prefix() -> str:
    return f"aurion-{settings().environment}-tenant-"


def _call(operation: str, **arguments: object) -> Any:
    return aws.call(aws.client("cloudformation", read_s=20), operation, **arguments)
