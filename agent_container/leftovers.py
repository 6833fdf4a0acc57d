"""Bring recordings home that a dead process, or a store that was away, has left in their folder."""

import contextlib
import logging
import time
from pathlib import Path
from uuid import UUID

from aurion import calls, database, recordings, storage
from aurion.errors import (
    CallNotFound,
    RecordingDamaged,
    RecordingNotFound,
    RecordingSettled,
    Unavailable,
)

from agent_container import recording_files
from agent_container.recording_files import Recording

logger = logging.getLogger(__name__)

# A file that was written to so lately still has an agent, or one is about to go on with it.
_UNTOUCHED_S = 60.0


def recording_path(folder: Path, tenant_id: UUID, call_id: UUID) -> Path:
    """Return where a call's recording is made."""
    return folder / str(tenant_id) / f"{call_id}.ogg"


def bring_in(folder: Path, *, untouched_s: float = _UNTOUCHED_S) -> int:
    """Store what is left of calls that have ended; return how many recordings were stored.

    What can't be stored now stays for the next time. What nobody wants any more is removed.
    """
    stored = 0
    for working in sorted(folder.glob("*/*.ogg.tracks")):
        try:
            tenant_id, call_id = UUID(working.parent.name), UUID(working.name.partition(".")[0])
            if time.time() - working.stat().st_mtime < untouched_s:
                continue
        except (ValueError, FileNotFoundError):
            continue  # none of ours, or its own process has just stored it
        try:
            stored += _bring_one(folder, tenant_id, call_id)
        except Unavailable:
            logger.warning("a left recording can't be stored yet", extra={"call": str(call_id)})
    return stored


def _bring_one(folder: Path, tenant_id: UUID, call_id: UUID) -> bool:
    path = recording_path(folder, tenant_id, call_id)
    try:
        with database.tenant_transaction(tenant_id) as conn:
            if calls.get(conn, call_id).status != "closed":
                return False
            wanted = recordings.get(conn, call_id).status not in ("discarded", "deleted")
    except (CallNotFound, RecordingNotFound):
        wanted = False
    stored = wanted and _keep(tenant_id, call_id, path)
    recording_files.remove(path)
    return stored


def _keep(tenant_id: UUID, call_id: UUID, path: Path) -> bool:
    made = _read(path)
    if made is not None:
        return _store(tenant_id, call_id, made)
    with contextlib.suppress(RecordingSettled), database.tenant_transaction(tenant_id) as conn:
        recordings.lost(conn, call_id=call_id)
    return False


def _read(path: Path) -> Recording | None:
    try:
        return recording_files.finish(path)
    except RecordingDamaged:
        logger.error("the working file of a recording is damaged", extra={"file": path.name})
        return None


def _store(tenant_id: UUID, call_id: UUID, made: Recording) -> bool:
    stored = storage.put_recording(tenant_id, call_id, made.path)
    keep = recordings.stored if made.whole else recordings.salvaged
    try:
        with database.tenant_transaction(tenant_id) as conn:
            keep(
                conn,
                call_id=call_id,
                stored_object=stored,
                duration_ms=made.duration_ms,
                guarded_intervals=made.guarded,
            )
    except RecordingSettled:
        with database.tenant_transaction(tenant_id) as conn:
            settled = recordings.get(conn, call_id).status
        if settled in ("discarded", "deleted"):
            storage.delete_recording(stored.object_key)
        return False
    return True
