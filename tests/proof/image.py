"""The agents' image, built in a folder by its Dockerfile's own steps, and run as it will be run.

There is no Docker here and the machine is no ARM; everything else is the real thing: the packages
of the lock, the models joined and checked, an account without rights, code it can't write to.
"""

import os
import subprocess
import tempfile
import time
from pathlib import Path

from tests import dockerfiles
from tests.dockerfiles import DOCKERFILE, CleanFolder, Stage
from tests.livekit_server import LiveKitServer
from tests.proof import Proof

_READY_S = 180.0
_WRITABLE = ("tmp", "var/lib/aurion")


def measure(full: bool) -> Proof:
    """Build the image's folder and start the worker from it; `--small` only lays the files out."""
    stages = dockerfiles.parse(DOCKERFILE.read_text())
    with tempfile.TemporaryDirectory(prefix="aurion-image-") as temporary:
        folder = Path(temporary)
        folder.chmod(0o755)
        clean = CleanFolder(folder, changed=lambda command: command if full else None)
        if not full:
            root = clean.build(stages)
            files = sum(1 for path in root.rglob("*") if path.is_file())
            return Proof("The agents' image", f"{files} files of ours.")
        root = clean.build(stages)
        sizes = {
            "packages": _megabytes(root / "app" / ".venv"),
            "models": _megabytes(root / "app" / "models"),
            "code": _megabytes(root / "app" / "agent_container"),
        }
        with LiveKitServer(folder / "livekit.log") as livekit:
            ready_s, written, broken = _run(clean, stages, root, livekit)
    markdown = (
        f"Built by the steps of its Dockerfile: {sizes['packages']} MB of packages,"
        f" {sizes['models']} MB of models, {sizes['code']} MB of code and ready-made sound."
        f" Started by an account without rights: ready for calls after {ready_s:.0f} s; outside of"
        f" its two volumes it wrote **{len(written)}** files. Not run here, for want of an engine"
        f" for containers: {len(clean.elsewhere)} steps that install uv or make accounts."
    )
    broken += [f"written outside of the volumes: {path}" for path in written]
    return Proof("The agents' image", markdown, broken)


def _run(
    clean: CleanFolder, stages: list[Stage], root: Path, livekit: LiveKitServer
) -> tuple[float, list[str], list[str]]:
    image = stages[-1]
    environment = {
        **clean.environment(image),
        **livekit.environment(),
        "TMPDIR": str(root / "tmp"),
        # Nobody listens there: calls can't be answered, and everything else must work.
        "DATABASE_PORT": "9",
        "DATABASE_PASSWORD": "none",
        "DATABASE_SSLMODE": "disable",
        "ECS_AGENT_URI": "",
    }
    python = [*_without_rights(root), str(root / "app/.venv/bin/python")]
    before = _outside(root)
    log = clean.folder / "worker.log"
    started = time.monotonic()
    with log.open("wb") as out:
        worker = subprocess.Popen(
            [*python, "-m", "agent_container.main", "start"],
            cwd=root / "app",
            env=environment,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    broken: list[str] = []
    check = [*python, *dockerfiles.health_command(stages)[1:]]
    try:
        while True:
            asked = subprocess.run(
                check,
                cwd=root / "app",
                env=environment,
                capture_output=True,
                check=False,
            )
            if asked.returncode == 0:
                break
            if worker.poll() is not None or time.monotonic() - started > _READY_S:
                return 0.0, [], [f"the worker is not healthy: {log.read_text()[-3000:]}"]
            time.sleep(0.5)
        ready_s = time.monotonic() - started
    finally:
        worker.terminate()
        code = worker.wait(60)
    if code != 0:
        broken.append(f"the worker ended with {code}: {log.read_text()[-2000:]}")
    return ready_s, sorted(_outside(root) - before), broken


def _without_rights(root: Path) -> list[str]:
    """Take the right to write from the code, and say how to run it as somebody who has none.

    Root without capabilities is bound by permissions like anybody, and still finds its Python here.
    """
    subprocess.run(["chmod", "-R", "a-w,a+rX", str(root / "app")], check=True)
    if os.geteuid() != 0:
        return []
    return ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]


def _outside(root: Path) -> set[str]:
    volumes = [root / writable for writable in _WRITABLE]
    return {
        f"{path.relative_to(root)} {path.stat().st_size}"
        for path in root.rglob("*")
        if path.is_file() and not any(path.is_relative_to(volume) for volume in volumes)
    }


def _megabytes(folder: Path) -> int:
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return round(size / 2**20)
