"""Loading the offline models tells nobody about it."""

import os
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).parents[3]
LOAD = "import {before}onnxruntime, time; time.sleep(0.5)"


def traces(home: Path, before: str) -> list[str]:
    """What loading onnxruntime leaves in the home and temporary directories."""
    home.mkdir()
    environment = {"PATH": os.defpath, "HOME": str(home), "TMPDIR": str(home)}
    command = [sys.executable, "-c", LOAD.format(before=before)]
    subprocess.run(command, check=True, env=environment, cwd=CHECKOUT, timeout=60)
    return [str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()]


def test_models_leave_no_session_of_a_telemetry_client(tmp_path: Path) -> None:
    assert traces(tmp_path / "ours", before="agent_container, ") == []


def test_library_would_leave_one_by_itself(tmp_path: Path) -> None:
    assert ".ses" in traces(tmp_path / "theirs", before="")
