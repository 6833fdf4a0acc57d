"""What an environment in the cloud needs before it can take a call, and what of that is missing.

Everything is read and nothing changed; no value of a secret is shown. Each thing that is missing
comes with the sentence that mends it.
"""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from aurion import aws, function_table, telephony, twilio_numbers
from aurion.aws import AwsRefused
from aurion.errors import AurionError, SecretNotFound
from aurion.rooms import VoiceServer
from aurion.twilio_numbers import Account, Client

from local import state
from local.doctor import Finding, Verdict

REGION = "eu-west-3"
DEPLOYMENT_BOUNDARY = "aurion-deployment-boundary"
_QUALIFIER = "hnb659fds"
_LEAST_BOOTSTRAP = 21
_STACKS = ("Network", "Data", "Workers", "Api", "Agent", "Observability")
_SECRETS = {
    "twilio": ("account_sid", "auth_token"),
    "livekit": ("url", "api_key", "api_secret", "sip_host", "sip_username", "sip_password"),
    "models": ("anthropic_api_key", "llm_api_key"),
}
_UNRESERVED = 100
"""What Lambda leaves to functions without a reserved concurrency, whatever the others reserve."""


@dataclass(frozen=True, slots=True)
class Quota:
    """A limit of an account, and the least it must be; `for_what` explains the number."""

    name: str
    service: str
    code: str
    least: float
    for_what: str


def examine(environment: Literal["dev", "prod"]) -> Iterator[Finding]:
    """Look at everything an environment needs, in the order in which it is set up."""
    yield _builder()
    yield _region()
    account = _account(environment)
    yield account
    if account.verdict == "missing":
        yield _finding("everything else", "missing", "can't be looked at without credentials")
        return
    number = account.remark.split()[-1]
    yield _boundary(number)
    yield from _bootstrap(number)
    for quota in _quotas(environment):
        yield _quota(quota)
    yield from _stacks(environment)
    for name, fields in _SECRETS.items():
        yield _secret(f"aurion/{environment}/{name}", fields)
    yield _voice(f"aurion/{environment}/livekit")
    yield _telephone(f"aurion/{environment}/twilio")


def _finding(what: str, verdict: Verdict, remark: str = "") -> Finding:
    return Finding("cloud", what, verdict, remark)


def _builder() -> Finding:
    named = os.environ.get("CDK_DOCKER")
    for program in (named,) if named else ("docker", "finch", "podman"):
        if shutil.which(program):
            return _finding("a builder of images", "ok", program)
    return _finding(
        "a builder of images",
        "missing",
        "install Docker, or Finch or Podman and set CDK_DOCKER to it; or deploy by a tag",
    )


def _region() -> Finding:
    found = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if found == REGION:
        return _finding("region", "ok", REGION)
    return _finding(
        "region", "wrong" if found else "missing", f"export AWS_REGION={REGION}: all is in Paris"
    )


def _account(environment: str) -> Finding:
    try:
        identity = aws.call(aws.client("sts"), "get_caller_identity")
    except AwsRefused as refusal:
        why = refusal.code or "there are none, or AWS does not answer"
        return _finding(
            "credentials", "missing", f"{why}: `aws sso login`, and AWS_PROFILE says which profile"
        )
    found = str(identity["Account"])
    variable = f"AURION_{environment.upper()}_ACCOUNT"
    expected = os.environ.get(variable)
    if expected and expected != found:
        return _finding(
            "credentials", "wrong", f"{variable} is {expected}, and these are of account {found}"
        )
    return _finding("credentials", "ok", f"account {found}")


def _boundary(account: str) -> Finding:
    arn = f"arn:aws:iam::{account}:policy/{DEPLOYMENT_BOUNDARY}"
    try:
        aws.call(aws.client("iam"), "get_policy", PolicyArn=arn)
    except AwsRefused as refusal:
        return _refused(
            "boundary of deployments", refusal, "NoSuchEntity", "deploy infra/account.yaml first"
        )
    return _finding("boundary of deployments", "ok", DEPLOYMENT_BOUNDARY)


def _bootstrap(account: str) -> Iterator[Finding]:
    name = f"/cdk-bootstrap/{_QUALIFIER}/version"
    command = f"`cdk bootstrap aws://{account}/{REGION}` as docs/deploy.md has it"
    try:
        answer = aws.call(aws.client("ssm"), "get_parameter", Name=name)
    except AwsRefused as refusal:
        yield _refused("the CDK's bootstrap", refusal, "ParameterNotFound", command)
        return
    version = int(answer["Parameter"]["Value"])
    if version < _LEAST_BOOTSTRAP:
        yield _finding("the CDK's bootstrap", "wrong", f"version {version} is too old: {command}")
    else:
        yield _finding("the CDK's bootstrap", "ok", f"version {version}")
    role = f"cdk-{_QUALIFIER}-cfn-exec-role-{account}-{REGION}"
    try:
        found = aws.call(aws.client("iam"), "get_role", RoleName=role)["Role"]
    except AwsRefused as refusal:
        yield _refused("the bootstrap's boundary", refusal, "NoSuchEntity", command)
        return
    boundary = found.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn", "")
    if boundary.endswith(f"/{DEPLOYMENT_BOUNDARY}"):
        yield _finding("the bootstrap's boundary", "ok", DEPLOYMENT_BOUNDARY)
    else:
        remark = f"bootstrap again with --custom-permissions-boundary {DEPLOYMENT_BOUNDARY}"
        yield _finding("the bootstrap's boundary", "wrong", remark)


def _quotas(environment: str) -> Iterator[Quota]:
    table = function_table.read(state.CHECKOUT / "functions" / "functions.toml")
    reserved = sum(function.reserved_concurrency for function in table.functions)
    tasks = 4 if environment == "prod" else 2  # what runs at least, twice during a release
    yield Quota(
        "Lambda's concurrency",
        "lambda",
        "L-B99A9384",
        reserved + _UNRESERVED,
        f"{reserved} reserved by the table, {_UNRESERVED} that Lambda wants left",
    )
    yield Quota(
        "Fargate's vCPUs",
        "fargate",
        "L-3032A538",
        2.0 * tasks,
        f"{tasks} tasks of two during a release; two more for each ten calls at once",
    )
    yield Quota("Elastic IPs", "ec2", "L-0263D0A3", 1, "one for the NAT gateway")


def _quota(quota: Quota) -> Finding:
    try:
        answer = aws.call(
            aws.client("service-quotas"),
            "get_service_quota",
            ServiceCode=quota.service,
            QuotaCode=quota.code,
        )
    except AwsRefused as refusal:
        return _finding(
            quota.name,
            "missing",
            f"can't be read ({refusal.code or 'no answer'}): see in Service Quotas that"
            f" {quota.code} is {quota.least:.0f} or more",
        )
    value = float(answer["Quota"]["Value"])
    if value < quota.least:
        return _finding(
            quota.name,
            "wrong",
            f"{value:.0f}, and {quota.least:.0f} are needed ({quota.for_what}): request it in"
            f" Service Quotas, {quota.service} {quota.code}",
        )
    return _finding(quota.name, "ok", f"{value:.0f}")


def _stacks(environment: str) -> Iterator[Finding]:
    client = aws.client("cloudformation")
    for part in _STACKS:
        name = f"aurion-{environment}-{part}"
        try:
            stack = aws.call(client, "describe_stacks", StackName=name)["Stacks"][0]
        except AwsRefused as refusal:
            mend = f"`make deploy ENV={environment} STACKS={part}`"
            yield _refused(f"stack {part}", refusal, "ValidationError", mend)
            continue
        status = str(stack["StackStatus"])
        good = status in ("CREATE_COMPLETE", "UPDATE_COMPLETE")
        remark = status if good else f"{status}: its events say why; then deploy it again"
        yield _finding(f"stack {part}", "ok" if good else "wrong", remark)


def _secret(name: str, fields: tuple[str, ...]) -> Finding:
    what = f"secret {name}"
    put = f"`aws secretsmanager put-secret-value --secret-id {name} --secret-string file://…`"
    try:
        text: Any = aws.call(aws.client("secretsmanager"), "get_secret_value", SecretId=name)
    except AwsRefused as refusal:
        mend = "the stack Data makes it: deploy that first"
        return _refused(what, refusal, "ResourceNotFoundException", mend)
    try:
        held = dict(json.loads(text["SecretString"]))
    except (ValueError, TypeError):
        return _finding(what, "wrong", f"is no JSON object: {put}")
    lacking = [field for field in fields if not held.get(field)]
    if lacking:
        return _finding(what, "wrong", f"lacks {', '.join(lacking)}: {put}")
    return _finding(what, "ok", f"has {len(fields)} fields")


def _voice(secret: str) -> Finding:
    what = "LiveKit stays in the EU"
    try:
        server = VoiceServer.from_secret(secret)
    except AurionError as error:
        return _unreadable(what, error)
    if telephony.stays_in_europe(server):
        return _finding(what, "ok", server.sip_host)
    return _finding(
        what,
        "wrong",
        "set url and sip_host to the project's addresses of its EU region,"
        " <name>.eu.rtc.livekit.cloud and <name>.eu.sip.livekit.cloud",
    )


def _telephone(secret: str) -> Finding:
    what = "Twilio is used in Ireland"
    try:
        account = Account.from_secret(secret)
        if account.region != twilio_numbers.EUROPE:
            return _finding(what, "wrong", "leave `region` out of the secret, or set it to ie1")
        with Client(account) as client:
            client.check()
    except SecretNotFound as error:
        return _unreadable(what, error)
    except AurionError as error:
        return _finding(
            what,
            "wrong",
            f"{error}: the auth_token must be one that Twilio's console shows for Ireland (IE1)",
        )
    return _finding(what, "ok", "IE1 knows the account")


def _unreadable(what: str, error: AurionError) -> Finding:
    return _finding(what, "missing", f"{type(error).__name__}: mend the secret first")


def _refused(what: str, refusal: AwsRefused, absent: str, mend: str) -> Finding:
    if refusal.code == absent:
        return _finding(what, "missing", mend)
    return _finding(
        what, "wrong", f"can't be looked at: {refusal.code or 'AWS does not answer'}; rights?"
    )
