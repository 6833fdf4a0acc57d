"""`make layers`: the four layers, and the functions' own code, as folders that a template can name.

uv resolves each from the lock for the machine that Lambda is, without Docker and without running
anything it gets. What is there and made of the same lock is not made again. Everything is compiled
here, since a Lambda can keep no compiled file and would compile again at each start.
"""

import compileall
import hashlib
import os
import py_compile
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from aurion.function_table import Function, Layer

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build"
_SHARED = ROOT / "layers" / "shared"
PLATFORM = "aarch64-manylinux_2_28"
"""glibc 2.34 is what Lambda's Python has; with an older one uv silently takes older psycopg."""
PYTHON = "3.13"

_CORE = ROOT / "layers" / "core"
_FROM_RUNTIME = ("boto3",)
"""Lambda's own; in a layer it would be 26 MB of every cold start."""
_EXPORTS: dict[Layer, list[str]] = {
    "core": ["--no-default-groups"],
    "llm": ["--only-group", "llm"],
    "vendors": ["--only-group", "vendors"],
}
_REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+)==", re.MULTILINE)


class LayersMissing(Exception):
    """The layers are not built, or not of this lock: run `make layers`."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Where the built layers and functions lie, and where their sources do."""

    layers: Path = BUILD / "layers"
    functions: Path = BUILD / "functions"
    sources: Path = ROOT / "functions"
    migrations: Path = _SHARED / "python" / "aurion" / "database"

    def layer(self, name: Layer) -> tuple[Path, str]:
        """Return a layer's folder and the hash of what it was made of.

        Raises:
            LayersMissing: It is not there.
        """
        folder, mark = self.layers / name, self.layers / f"{name}.hash"
        if not folder.is_dir() or not mark.exists():
            raise LayersMissing(f"The layer {name} is not built: run `make layers`.")
        return folder, mark.read_text("utf-8").strip()

    def function(self, function: Function) -> tuple[Path, str]:
        """Return a function's folder, compiled, and the hash of its sources.

        Raises:
            LayersMissing: The function has no code.
        """
        source, target = self.sources / function.name, self.functions / function.name
        if not (source / "handler.py").exists():
            raise LayersMissing(f"functions/{function.name}/handler.py is not there.")
        digest = hash_folder(source)
        mark = self.functions / f"{function.name}.hash"
        if not target.is_dir() or not mark.exists() or mark.read_text("utf-8") != digest:
            copy_compiled(source, target, "/var/task")
            mark.write_text(digest, "utf-8")
        return target, digest


def build(parts: Parts) -> list[str]:
    """Build the layers that are not of this lock; return the names of those built.

    Raises:
        subprocess.CalledProcessError: A package has no wheel for the platform, or can't be had.
    """
    made: list[str] = []
    core = requirements("core")
    texts = {
        "core": core,
        "llm": without(requirements("llm"), core),
        "vendors": without(requirements("vendors"), core),
    }
    for name, text in texts.items():
        digest = hash_text(PLATFORM, PYTHON, text, hash_folder(_CORE) if name == "core" else "")
        if not _is_of(parts, name, digest):
            _install(parts.layers / name, text)
            if name == "core":
                shutil.copytree(_CORE, parts.layers / name, dirs_exist_ok=True)
            (parts.layers / f"{name}.hash").write_text(digest, "utf-8")
            made.append(name)
    digest = hash_folder(_SHARED)
    if not _is_of(parts, "shared", digest):
        copy_compiled(_SHARED, parts.layers / "shared", "/opt")
        (parts.layers / "shared.hash").write_text(digest, "utf-8")
        made.append("shared")
    return made


def requirements(layer: Layer) -> str:
    """Export what a layer holds from the lock, with the hashes of every file."""
    prune = [option for name in _FROM_RUNTIME for option in ("--prune", name)]
    command = [find_uv(), "export", "--quiet", "--frozen", "--no-emit-project", "--no-header"]
    command += ["--no-annotate", *_EXPORTS[layer], *prune]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout


def without(text: str, others: str) -> str:
    """Leave out of an export what another one has: the layers are laid over each other."""
    known = set(_REQUIREMENT.findall(others))
    blocks = re.split(r"\n(?=\S)", text.strip())
    kept = [block for block in blocks if block.split("==")[0] not in known]
    return "\n".join(kept) + "\n"


def copy_compiled(source: Path, target: Path, seen_as: str) -> None:
    """Copy a folder and compile it; `seen_as` is where the copy will lie, for tracebacks."""
    shutil.rmtree(target, ignore_errors=True)
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
    shutil.copytree(source, target, ignore=ignored)
    _compile(target, seen_as)


def hash_folder(folder: Path) -> str:
    """Hash a folder's sources: names and contents, in order."""
    files = sorted(
        file
        for file in folder.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts and file.suffix != ".pyc"
    )
    lines = [
        f"{file.relative_to(folder)} {hashlib.sha256(file.read_bytes()).hexdigest()}"
        for file in files
    ]
    return hash_text(PYTHON, *lines)


def hash_text(*texts: str) -> str:
    """Hash some texts."""
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def _is_of(parts: Parts, name: str, digest: str) -> bool:
    mark = parts.layers / f"{name}.hash"
    there = mark.exists() and (parts.layers / name).is_dir()
    return there and mark.read_text("utf-8") == digest


def _install(folder: Path, text: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    listed = folder.parent / f"{folder.name}.txt"
    listed.write_text(text, "utf-8")
    command = [find_uv(), "pip", "install", "--quiet", "--no-deps", "--no-installer-metadata"]
    command += ["--only-binary", ":all:", "--require-hashes", "--no-compile-bytecode"]
    command += ["--link-mode", "copy", "--python-platform", PLATFORM, "--python-version", PYTHON]
    command += ["--target", str(folder / "python"), "-r", str(listed)]
    subprocess.run(command, cwd=ROOT, check=True)
    # Commands of the packages; nobody runs them there, and they name this machine's Python.
    shutil.rmtree(folder / "python" / "bin", ignore_errors=True)
    (folder / "python" / ".lock").unlink(missing_ok=True)
    _compile(folder, "/opt")


def _compile(folder: Path, seen_as: str) -> None:
    # By hash and never checked: a zip's times say nothing.
    compileall.compile_dir(
        folder,
        quiet=2,
        stripdir=str(folder),
        prependdir=seen_as,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )


def find_uv() -> str:
    """Find uv: the one that runs this, which answers, before one that a version manager shims."""
    return os.environ.get("UV") or shutil.which("uv") or "uv"


def main() -> int:
    """Build what is missing and say so."""
    if sys.version_info[:2] != tuple(int(part) for part in PYTHON.split(".")):
        sys.stderr.write(f"The layers are compiled by Python {PYTHON}, as Lambda's.\n")
        return 1
    made = build(Parts())
    sys.stderr.write(f"layers: {', '.join(made) or 'none'} built, in {BUILD / 'layers'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
