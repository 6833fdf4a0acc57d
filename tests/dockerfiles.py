"""A Dockerfile's steps in a clean folder, as far as they can run where there is no Docker.

Parsed as Docker parses them and run in their order: COPY takes what the ignore file lets through,
RUN runs by the shell with the stage's ENV and WORKDIR, absolute paths moved below the folder. What
needs another root or other accounts is named in `ELSEWHERE`, with what stands in for it.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[1]
DOCKERFILE = ROOT / "agent_container" / "Dockerfile"

ELSEWHERE = {
    "pip install": "uv is on this machine already; a test holds its version against the Makefile's",
    "groupadd": "accounts belong to the machine; the folder it makes is made here",
}


@dataclass(frozen=True, slots=True)
class Step:
    """One instruction; `arguments` is the rest of its line, continuations joined."""

    instruction: str
    arguments: str


@dataclass(slots=True)
class Stage:
    """What a FROM begins: its steps, its environment, and the folder that stands for its root."""

    name: str
    base: str
    steps: list[Step] = field(default_factory=list)


def parse(text: str) -> list[Stage]:
    """Read a Dockerfile's stages; ARGs before the first FROM are put in."""
    arguments: dict[str, str] = {}
    stages: list[Stage] = []
    for step in _steps(text):
        if step.instruction == "ARG" and not stages:
            name, _, value = step.arguments.partition("=")
            arguments[name] = value
        elif step.instruction == "FROM":
            base, *named = step.arguments.split()
            for name, value in arguments.items():
                base = base.replace("${" + name + "}", value)
            stages.append(Stage(named[1] if named else "", base))
        else:
            stages[-1].steps.append(step)
    return stages


def _steps(text: str) -> Iterator[Step]:
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    for line in re.sub(r"\\\n\s*", " ", "\n".join(lines)).splitlines():
        if line.strip():
            instruction, _, arguments = line.strip().partition(" ")
            yield Step(instruction.upper(), " ".join(arguments.split()))


def of_image(stages: list[Stage], instruction: str) -> list[str]:
    """List an instruction's arguments in the last stage, which is the image."""
    return [step.arguments for step in stages[-1].steps if step.instruction == instruction]


def environment_of(stage: Stage) -> dict[str, str]:
    """Collect a stage's ENV."""
    found: dict[str, str] = {}
    for step in stage.steps:
        if step.instruction == "ENV":
            found |= dict(word.split("=", 1) for word in shlex.split(step.arguments))
    return found


def let_through() -> list[Path]:
    """List the tracked or new files that the ignore file lets into the image's build."""
    file = DOCKERFILE.with_name("Dockerfile.dockerignore")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.decode()
    patterns = [
        line.strip()
        for line in file.read_text().splitlines()
        if line.strip() and not line.startswith("#")
    ]
    files = (Path(name) for name in listed.split("\0") if name)
    return [path for path in files if (ROOT / path).is_file() and not _is_ignored(path, patterns)]


def _is_ignored(path: Path, patterns: list[str]) -> bool:
    ignored = False
    parts = [PurePosixPath(path), *PurePosixPath(path).parents]
    for pattern in patterns:
        wanted = pattern.removeprefix("!").rstrip("/")
        if any(part.full_match(wanted) for part in parts if str(part) != "."):
            ignored = not pattern.startswith("!")
    return ignored


class CleanFolder:
    """Where a Dockerfile is built: one folder for each stage's root."""

    def __init__(self, folder: Path, *, changed: Callable[[str], str | None] = lambda run: run):
        """Name the folder; `changed` may run a RUN step otherwise, or not at all."""
        self.folder = folder
        self._changed = changed
        self.elsewhere: list[str] = []

    def root(self, stage: Stage) -> Path:
        """The folder that stands for a stage's root."""
        return self.folder / (stage.name or "image")

    def build(self, stages: list[Stage]) -> Path:
        """Run every step; return the image's root."""
        for stage in stages:
            self._build(stage, stages)
        return self.root(stages[-1])

    def environment(self, stage: Stage) -> dict[str, str]:
        """The environment of a stage's commands, moved below its root."""
        own = {
            name: ":".join(self.below(stage, part) for part in value.split(":"))
            for name, value in environment_of(stage).items()
        }
        path = own.pop("PATH", "")
        return {
            "PATH": f"{path}:{os.environ['PATH']}",
            "HOME": str(self.root(stage)),
            "LANG": "C.UTF-8",
            **own,
        }

    def below(self, stage: Stage, text: str) -> str:
        """Move absolute paths of a text that belong to the image below the stage's root."""
        root = self.root(stage)
        return re.sub(r"(?<![\w./])/(app|var/lib/aurion)(?![\w-])", rf"{root}/\1", text)

    def _build(self, stage: Stage, stages: list[Stage]) -> None:
        root = self.root(stage)
        working = root
        (root / "tmp").mkdir(parents=True)
        for step in stage.steps:
            match step.instruction:
                case "WORKDIR":
                    working = root / step.arguments.lstrip("/")
                    working.mkdir(parents=True, exist_ok=True)
                case "COPY":
                    self._copy(shlex.split(step.arguments), working, root, stages)
                case "RUN":
                    self._run(step.arguments, working, stage)
                case _:
                    pass

    def _copy(self, words: list[str], working: Path, root: Path, stages: list[Stage]) -> None:
        options = [word for word in words if word.startswith("--")]
        *sources, target = [word for word in words if not word.startswith("--")]
        destination = root / target.lstrip("/") if target.startswith("/") else working / target
        if options:
            (origin,) = [s for s in stages if f"--from={s.name}" in options]
            for source in sources:
                shutil.copytree(self.root(origin) / source.lstrip("/"), destination, symlinks=True)
            return
        allowed = let_through()
        for source in sources:
            found = [path for path in allowed if path.is_relative_to(source)]
            if not found:
                raise AssertionError(f"COPY {source}: nothing of it is let into the build")
            for path in found:
                inner = path.relative_to(source)
                whole = str(inner) == "."
                into = destination / path.name if whole and target.endswith("/") else destination
                file = into if whole else destination / inner
                file.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / path, file)

    def _run(self, command: str, working: Path, stage: Stage) -> None:
        for known in ELSEWHERE:
            if command.startswith(known):
                self.elsewhere.append(command)
                if "install --directory" in command:
                    (self.root(stage) / "var" / "lib" / "aurion").mkdir(parents=True)
                return
        wanted = self._changed(command)
        if wanted is None:
            self.elsewhere.append(command)
            return
        subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self.below(stage, wanted)],
            cwd=working,
            # One cache for all, instead of none: these are hundreds of megabytes.
            env={**self.environment(stage), "UV_PYTHON": sys.executable, "UV_NO_CACHE": "0"}
            | {"UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR", str(Path.home() / ".cache" / "uv"))},
            check=True,
        )


def health_command(stages: list[Stage]) -> list[str]:
    """Return the command that the image's health check runs."""
    (check,) = of_image(stages, "HEALTHCHECK")
    return list(json.loads(check[check.index("[") :]))
