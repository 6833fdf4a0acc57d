"""`aurion reset`: stop what runs here and forget it."""

import contextlib
import shutil

from local import processes, state
from local.console import console
from local.postgres import end_orphan
from local.stack import database_directory


def reset() -> None:
    """Stop what runs on this machine and remove its state; the models' cache stays."""
    running = state.read()
    ended: list[str] = []
    if running is not None and state.owner_runs(running):
        processes.end([running.owner], within_s=30)
        ended = [process.name for process in running.processes]
    with state.claim():
        ended += [process.name for process in state.end_left_behind()]
        if end_orphan(database_directory()):
            ended.append("postgres")
        shutil.rmtree(database_directory(), ignore_errors=True)
        for entry in state.home().iterdir():
            if entry.name in {"cache", "lock"}:
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry, ignore_errors=True)
            else:
                with contextlib.suppress(FileNotFoundError):
                    entry.unlink()
    console.print(f"Stopped: {', '.join(ended) or 'nothing was left'}. The state is gone.")
