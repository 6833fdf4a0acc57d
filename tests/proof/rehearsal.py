"""The templates in an emulator that runs CloudFormation: a report of what it makes, and no gate.

The emulator is `ministack`, in an environment of its own that uv makes beside its cache; it never
comes near this project's. It knows fewer resource types than AWS: those it can't create are put
aside, with whatever could not do without them, and listed. What it does create is created by shape
alone: nothing here says that AWS takes the templates, and no function or task runs in it.
"""

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from infra.layers import find_uv
from local.postgres import free_port
from tests.infra import clouds
from tests.infra.clouds import Cloud, Json
from tests.proof import Proof

EMULATOR = "ministack==1.5.33"
REGION = "eu-west-3"
_READY_WITHIN_S = 180.0
_STACK_WITHIN_S = 120.0
_MOST_TRIES = 40
_UNKNOWN = re.compile(r"Unrecognized resource types: \[(?P<types>[^\]]*)\]")
_NO_ATTRIBUTE = re.compile(
    r"attribute (?P<name>[\w.]+) does not exist in schema for (?P<kind>[\w:]+)"
)
# Takes a resource's place: every reference to it still leads somewhere.
_STAND_IN = {"Type": "AWS::CloudFormation::WaitConditionHandle"}


@dataclass(slots=True)
class Rehearsed:
    """What became of one stack: resources by type, and why some could not be made."""

    stack: str
    status: str = "not tried"
    made: Counter[str] = field(default_factory=Counter)
    refused: dict[str, str] = field(default_factory=dict)


def measure(full: bool) -> Proof:
    """Deploy dev, and with `full` prod too, in the order of their stacks."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cloud = clouds.synthesize(folder / "cloud")
        try:
            with _emulator(folder) as endpoint:
                done = _deploy(cloud, endpoint, ["aurion-dev", *(["aurion-prod"] if full else [])])
        except EmulatorUnavailable as refusal:
            return Proof(
                "A rehearsal in an emulator", f"Not rehearsed: {EMULATOR} {refusal}. (Report only.)"
            )
    return Proof("A rehearsal in an emulator", _describe(done))


class EmulatorUnavailable(Exception):
    """The emulator can't be had here, or does not start."""


@contextlib.contextmanager
def _emulator(folder: Path) -> Iterator[str]:
    """Run the emulator, and end it: it is the only process of its group."""
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    log = folder / "emulator.log"
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "VIRTUAL_ENV"))}
    variables = {
        "GATEWAY_PORT": str(port),
        "MINISTACK_REGION": REGION,
        # It would start containers for databases, tasks and functions; it is to do without.
        "DOCKER_HOST": "unix:///nonexistent",
        "HOME": str(folder),
        "UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR", str(Path.home() / ".cache" / "uv")),
    }
    with log.open("wb") as out:
        process = subprocess.Popen(
            [
                *(find_uv(), "tool", "run", "--isolated", "--no-python-downloads"),
                *("--python", sys.executable, "--from", EMULATOR, "ministack"),
            ],
            stdout=out,
            stderr=out,
            env=kept | variables,
            cwd=folder,
            start_new_session=True,
        )
    try:
        _wait(endpoint, process, log)
        yield endpoint
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 15)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()


def _wait(endpoint: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + _READY_WITHIN_S
    while time.monotonic() < until:
        if process.poll() is not None:
            words = log.read_text("utf-8", "replace").strip().splitlines()[-1:]
            raise EmulatorUnavailable(f"did not start: {' '.join(words)[:200]}")
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"{endpoint}/_ministack/health", timeout=2).close()
            return
        time.sleep(0.3)
    raise EmulatorUnavailable(f"was not ready within {_READY_WITHIN_S:.0f} s")


def _deploy(cloud: Cloud, endpoint: str, stages: list[str]) -> list[Rehearsed]:
    order = ["Network", "Data", "Workers", "Api", "Agent", "Edge", "Observability"]
    done: list[Rehearsed] = []
    for stage in stages:
        account = cloud.environments[stage].account
        to = _Account(endpoint, account)
        to.bootstrap(cloud, stage)
        for part in order:
            path = f"{stage}/{part}"
            if path in cloud.templates:
                done.append(_deploy_stack(to, path, cloud.templates[path]))
                print(f"  {path}: {done[-1].status}", flush=True)
    return done


class _Account:
    """An account of the emulator, with what the CDK's bootstrap would have left in it."""

    def __init__(self, endpoint: str, account: str) -> None:
        self._endpoint, self._account = endpoint, account
        self.cloudformation = self._client("cloudformation")
        self._s3 = self._client("s3")
        self._assets = f"cdk-hnb659fds-assets-{account}-{REGION}"

    def _client(self, service: str) -> Any:
        sdk: Any = boto3
        return sdk.client(
            service,
            region_name=REGION,
            endpoint_url=self._endpoint,
            aws_access_key_id=self._account,  # the emulator reads the account from it
            aws_secret_access_key="none",
            config=Config(
                read_timeout=60, retries={"max_attempts": 1}, s3={"addressing_style": "path"}
            ),
        )

    def bootstrap(self, cloud: Cloud, stage: str) -> None:
        """Make the bucket of assets, with something under every name, and the version."""
        self._client("ssm").put_parameter(
            Name="/cdk-bootstrap/hnb659fds/version", Value="30", Type="String", Overwrite=True
        )
        self._s3.create_bucket(
            Bucket=self._assets, CreateBucketConfiguration={"LocationConstraint": REGION}
        )
        empty = b"PK\x05\x06" + bytes(18)
        names = {
            code["S3Key"]
            for resource in cloud.resources(stack=f"{stage}/")
            for code in (resource.properties.get("Code"), resource.properties.get("Content"))
            if isinstance(code, dict) and isinstance(code.get("S3Key"), str)
        }
        for name in names:
            self._s3.put_object(Bucket=self._assets, Key=name, Body=empty)

    def create(self, name: str, template: Json) -> tuple[str, list[Json]]:
        """Create a stack; return its status and its events, oldest first."""
        text = json.dumps(template)
        self._s3.put_object(Bucket=self._assets, Key=f"{name}.json", Body=text.encode())
        self.cloudformation.create_stack(
            StackName=name,
            TemplateURL=f"{self._endpoint}/{self._assets}/{name}.json",
            Capabilities=["CAPABILITY_NAMED_IAM"],
            OnFailure="DO_NOTHING",
        )
        until = time.monotonic() + _STACK_WITHIN_S
        status = "CREATE_IN_PROGRESS"
        while status.endswith("IN_PROGRESS") and time.monotonic() < until:
            time.sleep(0.2)
            stacks = self.cloudformation.describe_stacks(StackName=name)["Stacks"]
            status = stacks[0]["StackStatus"]
        events = self.cloudformation.describe_stack_events(StackName=name)["StackEvents"]
        return status, list(reversed(events))

    def delete(self, name: str) -> None:
        """Take a stack away; what is retained stays."""
        with contextlib.suppress(ClientError):
            self.cloudformation.delete_stack(StackName=name)
            until = time.monotonic() + 30
            while time.monotonic() < until:
                stacks = self.cloudformation.describe_stacks(StackName=name)["Stacks"]
                if not stacks[0]["StackStatus"].endswith("IN_PROGRESS"):
                    return
                time.sleep(0.2)


def _deploy_stack(to: _Account, path: str, template: Json) -> Rehearsed:
    """Create a stack, putting aside what can't be made until the rest can."""
    done, name, left = Rehearsed(path), path.replace("/", "-"), json.loads(json.dumps(template))
    for body in left["Resources"].values():
        body.pop("DeletionPolicy", None)  # a second try finds the names free
    for logical_id, body in list(left["Resources"].items()):
        if body["Type"].startswith("Custom::"):
            done.refused[body["Type"]] = "needs a function to run, and none runs here"
            _put_aside(left, {logical_id})
    for _ in range(_MOST_TRIES):
        try:
            done.status, events = to.create(name, left)
        except ClientError as refusal:
            message = str(refusal.response.get("Error", {}).get("Message", refusal))
            unknown = _UNKNOWN.search(message)
            if unknown is None:
                done.status = f"refused: {message[:160]}"
                return done
            for kind in unknown["types"].split(", "):
                done.refused[kind] = "unknown type"
            _put_aside(left, {k for k, r in left["Resources"].items() if r["Type"] in done.refused})
            continue
        except BotoCoreError as failure:
            done.status = f"no answer: {type(failure).__name__}"
            return done
        failed = {
            event["LogicalResourceId"]: event.get("ResourceStatusReason", "no reason")
            for event in events
            if event["ResourceStatus"] == "CREATE_FAILED" and event["LogicalResourceId"] != name
        }
        lacking = [
            found
            for event in events
            if (found := _NO_ATTRIBUTE.search(event.get("ResourceStatusReason", "")))
        ]
        if not status_is_good(done.status) and lacking:
            for found in lacking:
                done.refused[found["kind"]] = f"created, without its attribute {found['name']}"
                of = {k for k, r in left["Resources"].items() if r["Type"] == found["kind"]}
                _replace(left, of, found["name"])
            to.delete(name)
            continue
        if status_is_good(done.status) or not failed.keys() & left["Resources"].keys():
            break
        for logical_id, reason in failed.items():
            if logical_id in left["Resources"]:
                done.refused.setdefault(left["Resources"][logical_id]["Type"], reason)
        _put_aside(left, set(failed))
        to.delete(name)
    done.made.update(
        body["Type"] for body in left["Resources"].values() if body["Type"] != _STAND_IN["Type"]
    )
    return done


def status_is_good(status: str) -> bool:
    """Say whether a stack has been created."""
    return status == "CREATE_COMPLETE"


def _put_aside(template: Json, logical_ids: set[str]) -> None:
    """Replace resources by something without properties, and what asks for their attributes."""
    resources: Json = template["Resources"]
    for logical_id in logical_ids & resources.keys():
        resources[logical_id] = dict(_STAND_IN)
    _replace(template, {k for k, r in resources.items() if r["Type"] == _STAND_IN["Type"]}, None)


def _replace(template: Json, of: set[str], attribute: str | None) -> None:
    """Put a text where an attribute (None: any) of these resources is asked for."""
    for part in ("Resources", "Outputs"):
        if part in template:
            template[part] = _without(template[part], of, attribute)


def _without(value: Any, of: set[str], attribute: str | None) -> Any:
    if isinstance(value, dict):
        target = value.get("Fn::GetAtt")
        if isinstance(target, list) and target[0] in of and attribute in (None, target[1]):
            return f"arn:aws:rehearsal:{REGION}:000000000000:{target[0]}/{target[1]}"
        return {key: _without(inner, of, attribute) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without(inner, of, attribute) for inner in value]
    return value


def _describe(done: list[Rehearsed]) -> str:
    refused: dict[str, tuple[str, set[str]]] = {}
    for stack in done:
        for kind, reason in stack.refused.items():
            refused.setdefault(kind, (reason, set()))[1].add(stack.stack.split("/")[1])
    made = sum((stack.made for stack in done), Counter[str]())
    lines = [
        f"{EMULATOR}: {sum(made.values())} resources of {len(made)} types created,"
        f" {len(refused)} types not, or not whole. It checks shapes and"
        " references, not rights or behaviour.",
        "",
        "| stack | status | created | put aside |",
        "|---|---|---|---|",
        *(
            f"| {s.stack} | {s.status} | {sum(s.made.values())} | {len(s.refused)} types |"
            for s in done
        ),
        "",
        "| type it can't create | in | it says |",
        "|---|---|---|",
        *(
            f"| `{kind}` | {', '.join(sorted(stacks))} | {_one_line(reason)} |"
            for kind, (reason, stacks) in sorted(refused.items())
        ),
    ]
    return "\n".join(lines)


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "/")[:140]
