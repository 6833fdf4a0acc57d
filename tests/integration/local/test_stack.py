"""The whole product on one machine: what it leaves, what it ends, and when it refuses to start."""

import contextlib
import json
import os
import signal
import stat
from pathlib import Path

import psutil
import pytest

from tests.integration.local.conftest import RunningStack, run_aurion, start_up, stop


def alive(processes: list[dict[str, object]]) -> list[object]:
    names: list[object] = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            if psutil.Process(int(str(process["pid"]))).status() != psutil.STATUS_ZOMBIE:
                names.append(process["name"])
    return names


def test_state_is_readable_by_its_owner_only(stack: RunningStack) -> None:
    state_file = stack.home / "state.json"
    assert stat.S_IMODE(state_file.stat().st_mode) == 0o600
    for path in stack.home.iterdir():
        if path.is_file():
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_passwords_are_on_no_command_line(stack: RunningStack) -> None:
    secrets = [stack.state["desk_token"], stack.state["environment"]["DATABASE_PASSWORD"]]
    for started in stack.state["processes"]:
        line = " ".join(psutil.Process(started["pid"]).cmdline())
        assert all(secret not in line for secret in secrets), started["name"]


def test_children_get_nothing_of_the_shell_that_started_them(stack: RunningStack) -> None:
    for started in stack.state["processes"]:
        names = psutil.Process(started["pid"]).environ()
        assert not [name for name in names if name.endswith("_API_KEY") or name == "AWS_PROFILE"]


def test_second_stack_in_the_same_directory_is_refused(stack: RunningStack) -> None:
    second = run_aurion(stack.home, "up")
    assert second.returncode == 2
    assert "Another command runs" in second.stderr
    assert alive(stack.state["processes"]) == [p["name"] for p in stack.state["processes"]]


def test_killed_run_is_ended_at_the_next_start_and_nothing_of_it_is_used(
    run_directory: Path,
) -> None:
    first = start_up(run_directory / "killed")
    before = first.state
    first.process.send_signal(signal.SIGKILL)
    first.process.wait(10)
    left = [p for p in before["processes"] if p["name"] in {"postgres", "moto"}]
    assert alive(left), "a killed run leaves its database behind, or this test shows nothing"

    examined = run_aurion(first.home, "doctor")
    assert examined.returncode == 1
    assert "a killed run's state" in examined.stdout + examined.stderr

    second = start_up(first.home)
    try:
        assert not alive(before["processes"])
        assert second.state["tenant_id"] != before["tenant_id"]
        assert second.state["environment"]["BADGE_KEY_ID"] != before["environment"]["BADGE_KEY_ID"]
        assert "killed run" in second.home.with_suffix(".out").read_text()
    finally:
        after = second.state["processes"]
        status = stop(second, signal.SIGINT)
    assert status == 0
    assert not alive(after)
    assert not (second.home / "state.json").exists()
    assert not (second.home / "postgres").exists()


@pytest.mark.parametrize(
    "variables",
    [
        {"AWS_PROFILE": "production"},
        {"AWS_ACCESS_KEY_ID": "AKIA" + "0" * 16},
        {"AWS_ENDPOINT_URL": "https://kms.eu-west-3.amazonaws.com"},
    ],
)
def test_stack_refuses_to_start_beside_a_real_account(
    run_directory: Path, variables: dict[str, str]
) -> None:
    home = run_directory / "refused"
    home.mkdir(exist_ok=True)
    refused = run_aurion(home, "demo", environment=variables)
    assert refused.returncode == 2
    assert next(iter(variables)) in refused.stderr
    assert next(iter(variables.values())) not in refused.stderr
    assert not (home / "state.json").exists()


def test_command_without_a_stack_says_how_to_start_one(run_directory: Path) -> None:
    home = run_directory / "empty"
    home.mkdir(exist_ok=True)
    answer = run_aurion(home, "people", "list")
    assert answer.returncode == 1
    assert "aurion up" in answer.stderr


def test_doctor_finds_a_running_stack_in_order(stack: RunningStack) -> None:
    examined = stack.run("doctor", environment={"ANTHROPIC_API_KEY": "sk-secret-value"})
    assert examined.returncode == 0, examined.stderr
    for part in (
        "database answers",
        "keys sign",
        "bucket and queue",
        "desk answers",
        "functions answer",
        "speech answers",
    ):
        assert part in examined.stdout
    assert "LIVEKIT_URL" in examined.stdout
    assert "sk-secret-value" not in examined.stderr + examined.stdout


def test_state_file_of_another_version_is_no_trouble(run_directory: Path) -> None:
    home = run_directory / "old"
    home.mkdir(exist_ok=True)
    (home / "state.json").write_text(json.dumps({"owner": 1}))
    (home / "processes.jsonl").write_text(f'{{"pid": {os.getpid()}}}\nnot json\n')
    answer = run_aurion(home, "reset")
    assert answer.returncode == 0, answer.stderr
    assert not (home / "state.json").exists()
