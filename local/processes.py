"""The processes a run has started, named so that a later run can end what a killed one left."""

import contextlib
import signal
from collections.abc import Iterable
from dataclasses import dataclass

import psutil


@dataclass(frozen=True, slots=True)
class StartedProcess:
    """A process by its id and the moment it began: ids are given again, the pair is not."""

    name: str
    pid: int
    started_at: float


def mark(name: str, pid: int) -> StartedProcess:
    """Note a running process."""
    return StartedProcess(name, pid, psutil.Process(pid).create_time())


def is_running(process: StartedProcess) -> bool:
    """Say whether that very process is still there."""
    return _find(process) is not None


def end(processes: Iterable[StartedProcess], *, within_s: float = 5.0) -> list[StartedProcess]:
    """End processes in order, firmly when they don't go; return those that were running."""
    ended: list[StartedProcess] = []
    for process in processes:
        running = _find(process)
        if running is None:
            continue
        ended.append(process)
        family = [running, *running.children(recursive=True)]
        # PostgreSQL's SIGTERM waits for every session; SIGQUIT is its way to stop at once.
        polite = signal.SIGQUIT if process.name == "postgres" else signal.SIGTERM
        with contextlib.suppress(psutil.NoSuchProcess):
            running.send_signal(polite)
        _, left = psutil.wait_procs(family, timeout=within_s)
        for survivor in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                survivor.kill()
        psutil.wait_procs(left, timeout=within_s)
    return ended


def _find(process: StartedProcess) -> psutil.Process | None:
    try:
        found = psutil.Process(process.pid)
        same = abs(found.create_time() - process.started_at) < 0.05
        return found if same and found.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None
