"""Who may deploy: GitHub's workflow and the roles it takes, as text that a machine can read."""

import copy
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from infra.layers import ROOT
from tests.infra.clouds import Cloud

type Json = dict[str, Any]

WORKFLOWS = ROOT / ".github" / "workflows"
ACCOUNT = ROOT / "infra" / "account.yaml"
# The only actions that need GitHub's proof of who a job is.
SIGNS_IN = "aws-actions/configure-aws-credentials"
TOKENS = "token.actions.githubusercontent.com"


def read_workflow() -> Json:
    # In YAML 1.1 `on` is a truth, and so it is a key of this one.
    found: dict[Any, Any] = yaml.safe_load((WORKFLOWS / "deploy.yml").read_text("utf-8"))
    found["on"] = found.pop(True)
    return found


class _Templates(yaml.SafeLoader):
    """CloudFormation's short forms, written out."""


def _write_out(loader: yaml.SafeLoader, name: str, node: yaml.Node) -> Json:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    else:
        assert isinstance(node, yaml.SequenceNode)
        value = loader.construct_sequence(node, deep=True)
    return {name if name in {"Ref", "Condition"} else f"Fn::{name}": value}


_Templates.add_multi_constructor("!", _write_out)


def read_account() -> Json:
    found: Json = yaml.load(ACCOUNT.read_text("utf-8"), _Templates)
    return found


def steps(workflow: Json) -> Iterator[tuple[str, Json]]:
    for name, job in workflow["jobs"].items():
        for step in job["steps"]:
            yield name, step


def no_keys_of_aws(workflow: Json) -> list[str]:
    """Nothing of a secret's name, and no key, is handed to a job."""
    text = str(workflow)
    found = re.findall(
        r"secrets\.\w+|aws[-_]access[-_]key\S*|aws[-_]secret\S*", text, re.IGNORECASE
    )
    return [f"it uses {what}" for what in found]


def proofs_only_where_needed(workflow: Json) -> list[str]:
    """A job may ask for a proof exactly when it signs in with it, and may write little else."""
    faults = [] if workflow.get("permissions") == {} else ["jobs have rights by default"]
    for name, job in workflow["jobs"].items():
        rights = job.get("permissions", {})
        signs_in = any(s.get("uses", "").startswith(SIGNS_IN) for s in job["steps"])
        if (rights.get("id-token") == "write") != signs_in:
            faults.append(f"{name} has the right to a proof, or signs in, not both")
        written = {right for right, level in rights.items() if level == "write"}
        if written - {"id-token", "pull-requests"} or len(written) > 1:
            faults.append(f"{name} may write {sorted(written)}")
        checks_out = any(s.get("uses", "").startswith("actions/checkout") for s in job["steps"])
        if checks_out and "pull-requests" in written:
            faults.append(f"{name} runs a pull request's code and may comment")
    return faults


def deploys_tags_only(workflow: Json) -> list[str]:
    """What deploys runs for tags alone, after the checks, in an environment with its own rules."""
    faults: list[str] = []
    if workflow["on"]["push"] != {"tags": ["v*"]}:
        faults.append("it runs for pushes that are no tags")
    if set(workflow["on"]) - {"push", "pull_request"}:
        faults.append("somebody else can start it")
    deploying = {name for name, step in steps(workflow) if "make deploy" in step.get("run", "")}
    if not deploying:
        faults.append("nothing deploys")
    for name in deploying:
        job = workflow["jobs"][name]
        if "startsWith(github.ref, 'refs/tags/v')" not in job.get("if", ""):
            faults.append(f"{name} deploys what has no tag")
        if not str(job.get("environment", "")).startswith("aurion-"):
            faults.append(f"{name} deploys outside of an environment")
        if "check" not in job.get("needs", ""):
            faults.append(f"{name} deploys what was not checked")
        if not str(job["runs-on"]).endswith("-arm"):
            faults.append(f"{name} builds the agents' image on another processor")
    for name, step in steps(workflow):
        if name not in deploying and "AWS_DEPLOY_ROLE" in str(step):
            faults.append(f"{name} takes the role that deploys")
    return faults


def actions_are_pinned(workflow: Json) -> list[str]:
    """Each action has a version, and no input of a stranger is put into a script."""
    faults = [
        f"{name} uses {step['uses']} of no version"
        for name, step in steps(workflow)
        if "uses" in step
        and not re.fullmatch(r"[\w.-]+/[\w.-]+@(v\d+[\d.]*|[0-9a-f]{40})", step["uses"])
    ]
    for name, step in steps(workflow):
        for expression in re.findall(r"\$\{\{(.*?)\}\}", step.get("run", "")):
            if expression.strip() != "matrix.environment":
                faults.append(f"{name} puts {expression.strip()} into a script")
    return faults


def _drop(workflow: Json, job: str, key: str) -> None:
    del workflow["jobs"][job][key]


FAULTS: dict[Callable[[Json], list[str]], list[Callable[[Json], object]]] = {
    no_keys_of_aws: [
        lambda w: w["env"].update(KEY="${{ secrets.AWS_KEY }}"),
        lambda w: w["jobs"]["deploy"]["steps"][1]["with"].update({"aws-access-key-id": "x"}),
    ],
    proofs_only_where_needed: [
        lambda w: w.update(permissions={"id-token": "write"}),
        lambda w: w["jobs"]["check"]["permissions"].update({"id-token": "write"}),
        lambda w: w["jobs"]["deploy"]["permissions"].update({"contents": "write"}),
        lambda w: w["jobs"]["comment"]["steps"].append({"uses": "actions/checkout@v5"}),
    ],
    deploys_tags_only: [
        lambda w: w["on"]["push"].update(branches=["main"]),
        lambda w: w["on"].update(workflow_dispatch=None),
        lambda w: _drop(w, "deploy", "if"),
        lambda w: _drop(w, "deploy", "environment"),
        lambda w: _drop(w, "deploy", "needs"),
        lambda w: w["jobs"]["deploy"].update({"runs-on": "ubuntu-24.04"}),
        lambda w: w["jobs"]["diff"]["steps"][1]["with"].update(x="${{ vars.AWS_DEPLOY_ROLE }}"),
        lambda w: w["jobs"]["diff"]["steps"].append({"run": "make deploy"}),
    ],
    actions_are_pinned: [
        lambda w: w["jobs"]["check"]["steps"][0].update(uses="actions/checkout@main"),
        lambda w: w["jobs"]["check"]["steps"][1].update(run="echo ${{ github.head_ref }}"),
    ],
}


@pytest.mark.parametrize("holds", FAULTS, ids=lambda rule: rule.__name__)
def test_the_workflow_holds_to_the_rule_and_each_fault_breaks_it(
    holds: Callable[[Json], list[str]],
) -> None:
    workflow = read_workflow()
    assert holds(workflow) == []
    for plant in FAULTS[holds]:
        broken = copy.deepcopy(workflow)
        plant(broken)
        assert holds(broken), "a planted fault was not seen"


def test_every_workflow_is_looked_at() -> None:
    assert [path.name for path in WORKFLOWS.iterdir()] == ["deploy.yml"]


def trust_faults(account: Json) -> list[str]:
    """GitHub's roles are for one repository's environments, and reach the CDK's roles at most."""
    faults: list[str] = []
    for name in ("DeployRole", "DiffRole"):
        properties = account["Resources"][name]["Properties"]
        for statement in properties["AssumeRolePolicyDocument"]["Statement"]:
            condition = statement["Condition"]
            if set(condition) != {"StringEquals"}:
                faults.append(f"{name} trusts a pattern")
            who = condition.get("StringEquals", {})
            if who.get(f"{TOKENS}:aud") != "sts.amazonaws.com":
                faults.append(f"{name} trusts proofs for others")
            subjects = who.get(f"{TOKENS}:sub", "")
            subjects = subjects if isinstance(subjects, list) else [subjects]
            allowed = r"repo:\$\{Repository\}:" + (
                "environment:aurion-(dev|prod)" if name == "DeployRole" else "pull_request"
            )
            for subject in subjects:
                if not isinstance(subject, dict) or not re.fullmatch(allowed, subject["Fn::Sub"]):
                    faults.append(f"{name} trusts {subject}")
        for policy in properties["Policies"]:
            for statement in policy["PolicyDocument"]["Statement"]:
                if "*" in str(statement["Action"]) or statement["Resource"] == "*":
                    faults.append(f"{name} has {statement['Action']} on {statement['Resource']}")
    boundary = account["Resources"]["Boundary"]["Properties"]["PolicyDocument"]["Statement"]
    by_name = {statement["Sid"]: statement for statement in boundary}
    region = by_name["ServicesInParis"].get("Condition", {}).get("StringEquals", {})
    if region.get("aws:RequestedRegion") != "eu-west-3":
        faults.append("a deployment reaches other regions")
    for statement in boundary:
        makes_roles = "iam:CreateRole" in statement["Action"]
        if makes_roles and "iam:PermissionsBoundary" not in str(statement.get("Condition")):
            faults.append("a deployment makes roles without a boundary")
        if statement["Effect"] == "Allow" and "iam:*" in statement["Action"]:
            faults.append("a deployment does everything with roles")
    return faults


def test_roles_of_the_account_are_narrow_and_each_fault_is_seen() -> None:
    account = read_account()
    assert trust_faults(account) == []
    faults: list[Callable[[Json], object]] = [
        lambda a: _trust(a, "DeployRole").update(
            {f"{TOKENS}:sub": {"Fn::Sub": "repo:${Repository}:*"}}
        ),
        lambda a: _trust(a, "DiffRole").pop(f"{TOKENS}:aud"),
        lambda a: _allowed(a, "DiffRole").update(Resource="*"),
        lambda a: _allowed(a, "DeployRole").update(Action="sts:*"),
        lambda a: _boundary(a, "ServicesInParis").pop("Condition"),
        lambda a: _boundary(a, "RolesWithBoundary").pop("Condition"),
    ]
    for plant in faults:
        broken = copy.deepcopy(account)
        plant(broken)
        assert trust_faults(broken), "a planted fault was not seen"


def _trust(account: Json, role: str) -> Json:
    properties = account["Resources"][role]["Properties"]
    return properties["AssumeRolePolicyDocument"]["Statement"][0]["Condition"]["StringEquals"]


def _allowed(account: Json, role: str) -> Json:
    properties = account["Resources"][role]["Properties"]
    return properties["Policies"][0]["PolicyDocument"]["Statement"][0]


def _boundary(account: Json, sid: str) -> Json:
    statements = account["Resources"]["Boundary"]["Properties"]["PolicyDocument"]["Statement"]
    return next(statement for statement in statements if statement["Sid"] == sid)


# What CloudFormation calls a service, where IAM calls it otherwise than in small letters.
_IN_IAM = {
    "applicationautoscaling": "application-autoscaling",
    "certificatemanager": "acm",
}


def unreachable(account: Json, kinds: set[str]) -> set[str]:
    """Services of the templates that CloudFormation's role could not reach."""
    boundary = account["Resources"]["Boundary"]["Properties"]["PolicyDocument"]["Statement"]
    reached = {
        action.partition(":")[0]
        for statement in boundary
        if statement["Effect"] == "Allow"
        for action in (
            statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        )
    }
    services = {kind.split("::")[1].lower() for kind in kinds if kind.startswith("AWS::")}
    return {_IN_IAM.get(service, service) for service in services - {"cdk"}} - reached


def test_a_deployment_reaches_every_service_of_the_templates(cloud: Cloud) -> None:
    kinds = {resource.kind for resource in cloud.resources()}
    assert unreachable(read_account(), kinds) == set()
    assert unreachable(read_account(), {*kinds, "AWS::DynamoDB::Table"}) == {"dynamodb"}


def test_a_deployment_makes_roles_of_the_names_it_may(cloud: Cloud) -> None:
    """CloudFormation begins a role's name with its stack's, unless it is named."""
    for name in cloud.names:
        assert name.startswith("aurion-")
    for role in cloud.resources("AWS::IAM::Role"):
        assert str(role.properties.get("RoleName", "aurion-")).startswith("aurion-")
