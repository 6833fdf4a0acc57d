"""What the functions weigh, and what importing each of them costs and brings."""

import json
import statistics
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from aurion import function_table

from infra import layers
from infra.layers import ROOT, Parts
from tests.proof import Proof

HEAVY = ("boto3", "botocore", "twilio", "stripe", "livekit", "anthropic", "openai", "google")
"""None of them has to be there before a request needs it."""
BASE = "import aws_lambda_powertools, psycopg"
_LIMIT_MB = 250
_LIMIT_RATIO = 1.5

# As in a Lambda: the handler's folder comes first, and the layers are behind it. The processor's
# time and not the clock's, since importing waits for nothing and this machine may do other things.
_IMPORT = """
import json, sys, time
sys.path[:0] = {path!r}
started = time.process_time()
{statement}
took = time.process_time() - started
print(json.dumps({{"took": took, "modules": sorted(sys.modules)}}))
"""


@dataclass(frozen=True, slots=True)
class Import:
    """What one import took (s of CPU) and every module that was there afterwards."""

    took_s: float
    modules: frozenset[str]


def measure(full: bool) -> Proof:
    """Weigh the layers and import each handler, beside the baseline, in processes of their own."""
    table = function_table.read(ROOT / "functions" / "functions.toml")
    names = [function.name for function in table.functions]
    rounds = 15 if full else 3
    base: list[Import] = []
    found: dict[str, list[Import]] = {name: [] for name in names}
    for _ in range(rounds):
        base.append(run(BASE))
        for name in names:
            found[name].append(import_handler(name))
    base_s = statistics.median(one.took_s for one in base)
    broken: list[str] = []
    lines = [
        "Each import in a fresh process, alternating with the baseline"
        f" (`{BASE}`); the median of {rounds}, by CPU time.",
        "",
        "| function | import, ratio to the baseline | layers, unzipped MB | heavy modules |",
        "|---|---|---|---|",
    ]
    weights = weigh(("shared", "core", "llm", "vendors") if full else ("shared", "core"))
    ratios: list[float] = []
    for function in table.functions:
        runs = found[function.name]
        ratio = statistics.median(one.took_s for one in runs) / base_s
        ratios.append(ratio)
        heavy = heavy_modules(runs[0])
        if heavy:
            broken.append(f"{function.name} imports {', '.join(heavy)} before it needs it")
        known = [weights[layer][0] for layer in function.layers if layer in weights]
        if sum(known) > _LIMIT_MB:
            broken.append(f"{function.name} is larger than Lambda takes: {sum(known):.0f} MB")
        lines.append(
            f"| {function.name} | {ratio:.2f} | {sum(known):.1f} | {', '.join(heavy) or 'none'} |"
        )
    median = statistics.median(ratios)
    if median > _LIMIT_RATIO:
        broken.append(f"importing a handler takes {median:.2f} times the baseline")
    lines += [
        "",
        f"Median ratio {median:.2f}, worst {max(ratios):.2f}; the median may be {_LIMIT_RATIO}.",
        "",
        "| layer | unzipped MB | zipped MB |",
        "|---|---|---|",
    ]
    lines += [f"| {name} | {raw:.1f} | {zipped:.1f} |" for name, (raw, zipped) in weights.items()]
    lines += ["", "With compiled files, for aarch64; boto3 is Lambda's own."]
    return Proof("Functions: size and import", "\n".join(lines), broken)


def import_handler(name: str) -> Import:
    """Import a handler as Lambda does."""
    return run("import handler", ROOT / "functions" / name)


def run(statement: str, *path: Path) -> Import:
    """Run an import statement in a fresh process."""
    program = _IMPORT.format(path=[str(folder) for folder in path], statement=statement)
    with tempfile.TemporaryDirectory() as nowhere:  # no package of ours beside the handler
        done = subprocess.run(
            [sys.executable, "-P", "-c", program],
            cwd=nowhere,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
    answer = json.loads(done.stdout)
    return Import(float(answer["took"]), frozenset(answer["modules"]))


def heavy_modules(imported: Import) -> list[str]:
    """Name the heavy modules that an import brought."""
    tops = {module.split(".")[0] for module in imported.modules}
    return [name for name in HEAVY if name in tops]


def weigh(names: tuple[str, ...]) -> dict[str, tuple[float, float]]:
    """Build the layers where they are not built; return their sizes in MB, unzipped and zipped."""
    parts = Parts()
    layers.build(parts)
    found: dict[str, tuple[float, float]] = {}
    for name in names:
        folder = parts.layers / name
        files = [file for file in folder.rglob("*") if file.is_file()]
        with tempfile.TemporaryFile() as target:
            with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
                for file in files:
                    archive.write(file, file.relative_to(folder))
            zipped = target.tell()
        raw = sum(file.stat().st_size for file in files)
        found[name] = (raw / 1e6, zipped / 1e6)
    return found
