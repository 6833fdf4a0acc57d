"""The whole product on one machine: what it leaves, what it ends, and when it refuses to start."""

import json
import os
import stat
from pathlib import Path

import psutil
import pytest

from tests.integration.local.conftest import KilledRun, RunningStack, alive, run_aurion


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
    killed_run: KilledRun, stack: RunningStack
) -> None:
    assert killed_run.outlived, "a killed run leaves its database behind, or this shows nothing"
    assert killed_run.examined.returncode == 1
    assert "a killed run's state" in killed_run.examined.stdout + killed_run.examined.stderr

    before, after = killed_run.state, stack.state
    assert not alive(before["processes"])
    assert after["tenant_id"] != before["tenant_id"]
    assert after["environment"]["BADGE_KEY_ID"] != before["environment"]["BADGE_KEY_ID"]
    assert "killed run" in stack.home.with_suffix(".out").read_text()


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
