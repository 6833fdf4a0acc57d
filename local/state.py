"""What runs here now: the state directory, its one file, and whose turn it is to write it."""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from local import processes
from local.processes import StartedProcess

CHECKOUT = Path(__file__).resolve().parents[1]


class StackBusy(Exception):
    """Another command runs the product in this directory now."""


@dataclass(frozen=True, slots=True)
class State:
    """A running product: who started it, its processes, and the environment that reaches it.

    `environment` holds passwords; the file is readable by its owner only.
    """

    owner: StartedProcess
    kept_running: bool
    processes: tuple[StartedProcess, ...]
    environment: dict[str, str]
    tenant_id: str
    desk_url: str
    desk_token: str
    speech_socket: str


def home() -> Path:
    """Give the state directory: AURION_HOME, else `.local` in the checkout."""
    configured = os.environ.get("AURION_HOME")
    return Path(configured).absolute() if configured else CHECKOUT / ".local"


def cache() -> Path:
    """Give the folder of unpacked models and ready-made speech: AURION_CACHE, else by the state."""
    configured = os.environ.get("AURION_CACHE")
    return Path(configured).absolute() if configured else home() / "cache"


def read() -> State | None:
    """Read the state of the last start, whether or not it still runs."""
    try:
        raw: dict[str, Any] = json.loads((home() / "state.json").read_text())
        return State(
            **{
                **raw,
                "owner": StartedProcess(**raw["owner"]),
                "processes": tuple(StartedProcess(**p) for p in raw["processes"]),
            }
        )
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None  # a run that was killed while writing, or one of an older version


def running() -> State | None:
    """Read the state of a product that runs: its owner and all its processes are there."""
    state = read()
    if state is None or not owner_runs(state) or dead_parts(state):
        return None
    return state


def owner_runs(state: State) -> bool:
    """Say whether the process that started the product is still there."""
    return processes.is_running(state.owner)


def dead_parts(state: State) -> list[str]:
    """Name the parts that have ended since they were started."""
    return [p.name for p in state.processes if not processes.is_running(p)]


def write(state: State) -> None:
    """Replace the state file, so that a reader never sees half of it."""
    _replace(home() / "state.json", json.dumps(asdict(state), indent=1))


def note_process(process: StartedProcess) -> None:
    """Write a process down as soon as it runs, before there is a whole state to write."""
    path = home() / "processes.jsonl"
    with open(path, "a", opener=_owner_only) as notes:
        notes.write(json.dumps(asdict(process)) + "\n")


def forget() -> None:
    """Remove the state of a product that has been stopped."""
    for name in ("state.json", "processes.jsonl"):
        (home() / name).unlink(missing_ok=True)


def end_left_behind() -> list[StartedProcess]:
    """End what a killed run left; call it while holding `claim`, so that nothing live is ended."""
    left: dict[int, StartedProcess] = {}
    with contextlib.suppress(FileNotFoundError):
        for line in (home() / "processes.jsonl").read_text().splitlines():
            with contextlib.suppress(ValueError, TypeError):
                process = StartedProcess(**json.loads(line))
                left[process.pid] = process
    ended = processes.end(reversed(left.values()))
    forget()
    return ended


@contextlib.contextmanager
def claim() -> Iterator[None]:
    """Hold the state directory for one owner; the claim ends with the process, however it ends.

    Raises StackBusy while another process holds it.
    """
    home().mkdir(parents=True, exist_ok=True, mode=0o700)
    with open(home() / "lock", "w", opener=_owner_only) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StackBusy from None
        yield


def _replace(path: Path, text: str) -> None:
    fresh = path.with_suffix(".new")
    with open(fresh, "w", opener=_owner_only) as file:
        file.write(text)
    fresh.replace(path)


def _owner_only(path: str, flags: int) -> int:
    return os.open(path, flags, mode=0o600)
