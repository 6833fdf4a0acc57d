"""The cloud's templates: made without a network, without findings, without needless exceptions."""

import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from infra import layers
from infra.layers import ROOT, Parts
from tests.proof import Proof

_LIMIT_S = 60
_LINT = str(Path(sys.executable).with_name("cfn-lint"))
# The same app with nothing acknowledged: what the gates then find is what the reasons are for.
_BARE = """
import infra.acknowledgements
infra.acknowledgements.acknowledge = lambda scope, reasons: None
from infra import app
app.main()
"""
_OFFLINE = {
    **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), "http://127.0.0.1:9"),
    "DOCKER_HOST": "tcp://127.0.0.1:9",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
    "AWS_CONFIG_FILE": "/nonexistent",
}


def measure(full: bool) -> Proof:
    """Synthesise as `make synth` does, and once more with nothing acknowledged."""
    layers.build(Parts())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        started, before = time.monotonic(), _cpu_s()
        options = ("--quiet", "--strict", "--no-lookups", "--no-notices", "--output", name)
        done = _run("-m", "infra.cdk", "synth", *options)
        took, worked = time.monotonic() - started, _cpu_s() - before
        broken = [] if done.returncode == 0 else [f"the synthesis fails: {done.stderr[-2000:]}"]
        # A machine that does other things meanwhile gives the synthesis less of its time.
        if min(took, worked) > _LIMIT_S:
            broken.append(f"the synthesis takes {took:.0f} s")
        lint = _run(_LINT, "--template", f"{name}/assembly-*/*.template.json")
        if lint.returncode:
            broken.append(f"cfn-lint: {(lint.stdout + lint.stderr)[-2000:]}")
        counts = _resources(folder)
        given = _acknowledged(folder)
    lines = [
        f"Synthesised in {took:.0f} s ({worked:.0f} s of CPU) without credentials, network, Docker:"
        f" {sum(counts.values())} resources in {len(counts)} stacks. The CDK's validator as errors,"
        " cdk-nag's AwsSolutions and cfn-lint find nothing that has no reason.",
        "",
        "| stack | resources |",
        "|---|---|",
        *(f"| {stack} | {count} |" for stack, count in sorted(counts.items())),
    ]
    if full:
        needed = _findings()
        idle = [
            f"{path}: {rule}"
            for path, rule, _reason in given
            if not any(rule == found and at.startswith(path) for at, found in needed)
        ]
        broken += [f"acknowledged, and never found: {one}" for one in idle]
        reasons = sorted({(rule.split("[")[0], reason) for _path, rule, reason in given})
        lines += [
            "",
            f"{len(given)} findings are acknowledged, each exactly named and each needed:",
            "",
            "| rule | why it is meant to be |",
            "|---|---|",
            *(f"| {rule} | {reason} |" for rule, reason in reasons),
        ]
    return Proof("The cloud's templates", "\n".join(lines), broken)


def _run(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "AURION_", "CDK_"))}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=kept | _OFFLINE | more,
        check=False,
        capture_output=True,
        text=True,
    )


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _resources(folder: Path) -> Counter[str]:
    counts: Counter[str] = Counter()
    for manifest in folder.glob("assembly-*/manifest.json"):
        for artifact in json.loads(manifest.read_text())["artifacts"].values():
            if artifact["type"] == "aws:cloudformation:stack":
                template = manifest.parent / artifact["properties"]["templateFile"]
                found = json.loads(template.read_text())["Resources"]
                counts[artifact["displayName"]] = len(found)
    return counts


def _acknowledged(folder: Path) -> list[tuple[str, str, str]]:
    """Return every acknowledgement of a synthesis: path, rule, reason."""
    found: list[tuple[str, str, str]] = []
    for file in folder.glob("assembly-*/*.metadata.json"):
        for path, entries in json.loads(file.read_text()).items():
            for entry in entries:
                if entry["type"] == "aws:cdk:acknowledged-rules":
                    for rule, reason in entry["data"].items():
                        # Others are the CDK's own, about what its constructs make.
                        name = re.sub(r"^[A-Za-z]+::", "", rule)
                        if name.startswith("AwsSolutions-"):
                            found.append((path.strip("/"), name, str(reason)))
    return found


def _findings() -> set[tuple[str, str]]:
    """Return what the gates find when nothing is acknowledged: path, rule."""
    with tempfile.TemporaryDirectory() as name:
        context = json.loads((ROOT / "cdk.json").read_text())["context"]
        _run("-c", _BARE, CDK_OUTDIR=name, CDK_CONTEXT_JSON=json.dumps(context))
        report = json.loads((Path(name) / "validation-report.json").read_text())
    return {
        (construct["constructPath"], violation["ruleName"])
        for plugin in report["pluginReports"]
        for violation in plugin["violations"]
        for construct in violation["violatingConstructs"]
    }
