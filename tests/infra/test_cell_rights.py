"""A company's own agents reach their company and no other; who makes them can make nothing else."""

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import pytest
from aurion import secrets, storage
from aurion.settings import settings

from infra import environments
from tests.infra.clouds import Cloud, Json, statements
from tests.infra.rights import allows, resolve

ACCOUNT, REGION = environments.NO_ACCOUNT, environments.REGION
ENVIRONMENT = environments.read("dev", {})
OWN, OTHER = (UUID(f"{digit * 8}-1111-4111-8111-{digit * 12}") for digit in "ab")
CALL = UUID("c" * 32)

type Request = tuple[str, str, dict[str, str]]


def arn(service: str, resource: str) -> str:
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}"


KEYS = {name: arn("kms", f"key/{name}") for name in ("badge", "content", "recordings", "data")}
NAMES = {
    "AWS::Region": REGION,
    "AWS::AccountId": ACCOUNT,
    "AWS::Partition": "aws",
    "AWS::URLSuffix": "amazonaws.com",
    "TenantId": str(OWN),
    "RecordingsBucket": "aurion-dev-recordings",
    "BadgeKeyArn": KEYS["badge"],
    "ContentKeyArn": KEYS["content"],
    "RecordingsKeyArn": KEYS["recordings"],
    "DataKeyArn": KEYS["data"],
    "DatabaseResourceId": "cluster-ABC",
}


@pytest.fixture(autouse=True)
def in_dev(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Names of secrets hold the environment's."""
    monkeypatch.setenv("ENVIRONMENT", "dev")
    settings.cache_clear()
    yield
    monkeypatch.undo()
    settings.cache_clear()


def requests_for(tenant: UUID) -> list[Request]:
    """Everything an agent of a company asks of AWS, by the names that the product gives."""
    recording = f"arn:aws:s3:::aurion-dev-recordings/{storage.recording_key(tenant, CALL)}"
    secret = arn("secretsmanager", f"secret:{secrets.itsm_secret_name(tenant)}-AbCdEf")
    through_s3 = {"kms:ViaService": f"s3.{REGION}.amazonaws.com"}
    through_secrets = {
        "kms:ViaService": f"secretsmanager.{REGION}.amazonaws.com",
        "kms:EncryptionContext:SecretARN": secret,
    }
    own_task = {"aws:ResourceTag/tenant": str(tenant)}
    of_tenant = {"kms:EncryptionContext:tenant": str(tenant)}
    return [
        ("s3:PutObject", recording, {}),
        ("s3:DeleteObject", recording, {}),
        ("kms:GenerateDataKey", KEYS["recordings"], through_s3),
        ("kms:GenerateMac", KEYS["badge"], {}),
        ("kms:Encrypt", KEYS["content"], of_tenant),
        ("kms:Decrypt", KEYS["content"], of_tenant),
        ("secretsmanager:GetSecretValue", secret, {}),
        ("kms:Decrypt", KEYS["data"], through_secrets),
        ("rds-db:connect", arn("rds-db", f"dbuser:cluster-ABC/aurion_cell_{tenant}"), {}),
        ("ecs:UpdateTaskProtection", arn("ecs", "task/aurion-dev/0123"), own_task),
        ("ecs:DescribeServices", arn("ecs", f"service/aurion-dev/aurion-dev-tenant-{tenant}"), {}),
    ]


# One right is no company's: a MAC says nothing without the hash it would have to meet.
SHARED = {"kms:GenerateMac", "kms:GenerateDataKey"}


def forbidden_requests() -> list[Request]:
    """What a company's agents must not be able to do."""
    bucket = "arn:aws:s3:::aurion-dev-recordings"
    of_others = [request for request in requests_for(OTHER) if request[0] not in SHARED]
    return [
        *of_others,
        # Not its own recordings either: nothing an agent does needs to hear one.
        ("s3:GetObject", f"{bucket}/{storage.recording_key(OWN, CALL)}", {}),
        ("s3:GetObject", f"{bucket}/{storage.recording_key(OTHER, CALL)}", {}),
        (
            "s3:PutObject",
            f"arn:aws:s3:::another-aurion-dev-recordings/{storage.recording_key(OWN, CALL)}",
            {},
        ),
        ("s3:PutObject", f"{bucket}/{OWN}-x/recordings/{CALL}.ogg", {}),
        ("s3:PutObject", f"{bucket}/x/{storage.recording_key(OWN, CALL)}", {}),
        ("s3:PutObject", f"arn:aws:s3:::aurion-dev-exports/{OWN}/x", {}),
        ("s3:ListBucket", bucket, {}),
        ("kms:GenerateDataKey", KEYS["recordings"], {}),
        ("kms:Decrypt", KEYS["content"], {}),
        ("kms:Decrypt", KEYS["data"], {}),
        ("secretsmanager:GetSecretValue", arn("secretsmanager", "secret:aurion/dev/livekit-x"), {}),
        ("secretsmanager:GetSecretValue", arn("secretsmanager", "secret:aurion/dev/models-x"), {}),
        *(
            (
                "secretsmanager:GetSecretValue",
                arn("secretsmanager", f"secret:aurion/{place}/{OWN}/itsm-x"),
                {},
            )
            for place in ("prod/tenant", "dev/former-tenant")
        ),
        *(
            ("rds-db:connect", arn("rds-db", f"dbuser:cluster-ABC/{login}"), {})
            for login in (
                "aurion_app",
                "aurion_system",
                "aurion_router",
                "aurion_admin",
                f"another_{OWN}",
            )
        ),
        ("ecs:UpdateTaskProtection", arn("ecs", "task/aurion-dev/0123"), {}),
        ("ecs:UpdateService", arn("ecs", f"service/aurion-dev/aurion-dev-tenant-{OWN}"), {}),
        ("sts:AssumeRole", f"arn:aws:iam::{ACCOUNT}:role/aurion-dev-tenant-{OTHER}", {}),
    ]


def role_of(cell_template: Json) -> list[Json]:
    roles = [r for r in cell_template["Resources"].values() if r["Type"] == "AWS::IAM::Role"]
    policies = [r for r in cell_template["Resources"].values() if r["Type"] == "AWS::IAM::Policy"]
    assert len(roles) == 1
    found = resolve([r["Properties"].get("Policies") for r in [*roles, *policies]], NAMES)
    return list(statements(found))


def trespasses(cell_template: Json) -> list[Request]:
    """What a company's agents could do and must not."""
    policy = role_of(cell_template)
    return [request for request in forbidden_requests() if allows(policy, *request)]


def test_agents_of_a_company_can_do_their_work(cell_template: Json) -> None:
    policy = role_of(cell_template)
    assert [request for request in requests_for(OWN) if not allows(policy, *request)] == []


def test_agents_of_a_company_reach_no_other(cell_template: Json) -> None:
    assert trespasses(cell_template) == []


def widened(action: str, old: str, new: str) -> Callable[[Json], None]:
    """Plant a fault: replace a text in the statement that allows an action."""

    def plant(cell_template: Json) -> None:
        for statement in statements(cell_template):
            if action in statement["Action"]:
                text = json.dumps(statement)
                assert old in text, text
                statement.clear()
                statement.update(json.loads(text.replace(old, new, 1)))

    return plant


def unconditional(action: str) -> Callable[[Json], None]:
    def plant(cell_template: Json) -> None:
        for statement in statements(cell_template):
            if action in statement["Action"]:
                del statement["Condition"]

    return plant


@pytest.mark.parametrize(
    "plant",
    [
        widened("s3:PutObject", '{"Ref": "TenantId"}, "/*"', '"*"'),
        widened("s3:PutObject", '"/*"', '"*"'),
        widened("s3:PutObject", '"s3:PutObject"', '"s3:*"'),
        widened("s3:PutObject", ':s3:::"', ':s3:::*"'),
        widened("secretsmanager:GetSecretValue", '/tenant/", {"Ref": "TenantId"}', '/tenant/*"'),
        widened("secretsmanager:GetSecretValue", "/tenant/", "/*"),
        widened("rds-db:connect", "aurion_cell_", "*"),
        widened("rds-db:connect", '/aurion_cell_", {"Ref": "TenantId"}', '/aurion_app"'),
        unconditional("kms:Encrypt"),
        unconditional("kms:GenerateDataKey"),
        unconditional("ecs:UpdateTaskProtection"),
        widened("ecs:DescribeServices", '"ecs:DescribeServices"', '"ecs:*"'),
    ],
)
def test_right_that_reaches_too_far_is_noticed(
    cell_template: Json, plant: Callable[[Json], None]
) -> None:
    planted = copy.deepcopy(cell_template)
    plant(planted)
    assert trespasses(planted)


def test_boundary_leaves_the_agents_their_work(cloud: Cloud, cell_template: Json) -> None:
    boundary = cloud.one("AWS::IAM::ManagedPolicy", "aurion-dev/Network", "Boundary")
    policy = list(statements(resolve(boundary.properties["PolicyDocument"], {})))
    here = {"aws:RequestedRegion": REGION}
    refused = [
        (action, resource)
        for action, resource, context in requests_for(OWN)
        if not allows(policy, action, resource, context | here)
    ]
    assert refused == []
    role = next(r for r in cell_template["Resources"].values() if r["Type"] == "AWS::IAM::Role")
    assert role["Properties"]["PermissionsBoundary"] == {"Ref": "BoundaryArn"}


def cloudformation_role(cloud: Cloud) -> list[Json]:
    role = cloud.one("AWS::IAM::Role", "aurion-dev/Agent", "Cells")
    return list(statements(resolve(role.properties["Policies"], {})))


def test_cells_are_made_with_no_more_rights_than_that_takes(cloud: Cloud) -> None:
    policy = cloudformation_role(cloud)
    bounded = {"iam:PermissionsBoundary": ENVIRONMENT.boundary_arn}
    to_tasks = {"iam:PassedToService": "ecs-tasks.amazonaws.com"}
    in_cluster = {"ecs:cluster": arn("ecs", "cluster/aurion-dev")}
    cell = f"aurion-dev-tenant-{OWN}"
    role, others = (f"arn:aws:iam::{ACCOUNT}:role/{name}" for name in (cell, "aurion-dev-operate"))
    execution = f"arn:aws:iam::{ACCOUNT}:role/aurion-dev-agent-execution"
    needed: list[Request] = [
        ("iam:CreateRole", role, bounded),
        ("iam:PutRolePolicy", role, bounded),
        ("iam:DeleteRole", role, {}),
        ("iam:PassRole", role, to_tasks),
        ("iam:PassRole", execution, to_tasks),
        ("ecs:CreateService", arn("ecs", f"service/aurion-dev/{cell}"), in_cluster),
        ("ecs:DeleteService", arn("ecs", f"service/aurion-dev/{cell}"), in_cluster),
        ("ecs:RegisterTaskDefinition", arn("ecs", f"task-definition/{cell}:1"), {}),
        ("logs:CreateLogGroup", arn("logs", f"log-group:/aurion/dev/tenant/{OWN}/agent"), {}),
    ]
    assert [request for request in needed if not allows(policy, *request)] == []
    forbidden: list[Request] = [
        ("iam:CreateRole", role, {}),
        ("iam:CreateRole", role, {"iam:PermissionsBoundary": "arn:aws:iam::aws:policy/Admin"}),
        ("iam:PutRolePolicy", role, {}),
        ("iam:PutRolePolicy", others, bounded),
        ("iam:AttachRolePolicy", role, bounded),
        ("iam:DeleteRolePermissionsBoundary", role, {}),
        ("iam:PassRole", others, to_tasks),
        ("iam:PassRole", role, {"iam:PassedToService": "lambda.amazonaws.com"}),
        ("ecs:UpdateService", arn("ecs", "service/aurion-dev/aurion-dev-agent"), in_cluster),
        ("ecs:RunTask", arn("ecs", f"task-definition/{cell}:1"), in_cluster),
        ("logs:DeleteLogGroup", arn("logs", "log-group:/aurion/dev/agent"), {}),
        ("s3:GetObject", "arn:aws:s3:::aurion-dev-recordings/x", {}),
        ("secretsmanager:GetSecretValue", arn("secretsmanager", "secret:x"), {}),
    ]
    assert [request for request in forbidden if allows(policy, *request)] == []


def test_function_that_keeps_cells_in_step_can_do_only_that() -> None:
    from infra import tenant_cell  # only who needs it starts the Node.js behind it

    policy = [s.to_statement_json() for s in tenant_cell.reconciler_statements(ENVIRONMENT)]
    stack = arn("cloudformation", f"stack/aurion-dev-tenant-{OWN}/1")
    role = f"arn:aws:iam::{ACCOUNT}:role/aurion-dev-cells"
    with_role = {"cloudformation:RoleArn": role}
    to_it = {"iam:PassedToService": "cloudformation.amazonaws.com"}
    needed: list[Request] = [
        ("cloudformation:CreateStack", stack, with_role),
        ("cloudformation:UpdateStack", stack, with_role),
        ("cloudformation:ContinueUpdateRollback", stack, with_role),
        ("cloudformation:DeleteStack", stack, with_role),
        ("cloudformation:DescribeStacks", "*", {}),
        ("iam:PassRole", role, to_it),
        ("ssm:GetParameter", arn("ssm", "parameter/aurion/dev/cell-release"), {}),
        ("s3:GetObject", f"arn:aws:s3:::cdk-hnb659fds-assets-{ACCOUNT}-{REGION}/0a.json", {}),
    ]
    assert [request for request in needed if not allows(policy, *request)] == []
    forbidden: list[Request] = [
        ("cloudformation:CreateStack", stack, {}),
        ("cloudformation:UpdateStack", arn("cloudformation", "stack/aurion-dev-Data/1"), with_role),
        ("cloudformation:DeleteStack", arn("cloudformation", "stack/aurion-dev-Data/1"), {}),
        ("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/Admin", to_it),
        ("iam:PassRole", role, {"iam:PassedToService": "ec2.amazonaws.com"}),
        ("ssm:GetParameter", arn("ssm", "parameter/other"), {}),
    ]
    assert [request for request in forbidden if allows(policy, *request)] == []


def test_template_needs_nothing_but_its_parameters(cell_template: Json, tmp_path: Path) -> None:
    text = json.dumps(cell_template)
    assert "Fn::ImportValue" not in text
    assert "Fn::GetStackOutput" not in text
    assert "cdk-hnb659fds" not in text
    assert len(text) < 51_200
    from infra import tenant_cell  # only who needs it starts the Node.js behind it

    again = tenant_cell.write_template(ENVIRONMENT, tmp_path)
    assert json.loads(again.read_text()) == cell_template, "the same code makes the same release"
