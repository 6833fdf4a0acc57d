"""Recordings whose process died, or whose store was away, come home once their call has ended."""

import os
import time
from pathlib import Path

import numpy as np
import pytest
from aurion import calls, database, recordings, storage
from aurion.calls import Call
from aurion.settings import settings

from agent_container import leftovers, recording_files
from local.aws import Aws
from tests.typed_calls import Company


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def record(company: Company, folder: Path, *, whole: bool = False) -> Call:
    """Leave the working file of a call that was claimed and recorded for two seconds."""
    tenant_id = company.tenant.tenant_id
    call = company.start_call(channel="phone")
    with database.tenant_transaction(tenant_id) as conn:
        call = calls.claim(conn, call_id=call.id)
        assert recordings.begin(conn, call_id=call.id, epoch=call.epoch)
    path = leftovers.recording_path(folder, tenant_id, call.id)
    path.parent.mkdir(exist_ok=True)
    working = recording_files.WorkingFile(recording_files.working_path(path))
    noise = np.random.default_rng(0).integers(-9000, 9000, 100 * 320).astype(np.int16)
    working.append(recording_files.AGENT, 0, noise, frozenset())
    working.guard(100, 900)
    if whole:
        working.end(1990)
    working.close()
    grow_old(path)
    return call


def grow_old(path: Path) -> None:
    before = time.time() - 3600
    os.utime(recording_files.working_path(path), (before, before))


def close(company: Company, call: Call) -> None:
    with database.tenant_transaction(company.tenant.tenant_id) as conn:
        calls.close(conn, call_id=call.id, epoch=call.epoch, outcome="interrupted")


def row_of(company: Company, call: Call) -> recordings.Recording:
    with database.tenant_transaction(company.tenant.tenant_id) as conn:
        return recordings.get(conn, call.id)


@pytest.mark.parametrize("whole", [False, True])
def test_what_a_dead_process_left_is_stored_once(
    company: Company, folder: Path, whole: bool
) -> None:
    call = record(company, folder, whole=whole)
    close(company, call)
    assert leftovers.bring_in(folder) == 1
    row = row_of(company, call)
    assert row.status == ("stored" if whole else "salvaged")
    assert row.duration_ms == (1990 if whole else 2000)
    assert row.guarded_intervals == [[100, 900]]
    assert row.object_key
    assert storage.get_recording(row.object_key).startswith(b"OggS")
    assert not list(folder.rglob("*.ogg*"))
    assert leftovers.bring_in(folder) == 0


def test_a_call_that_goes_on_keeps_its_file(company: Company, folder: Path) -> None:
    call = record(company, folder)
    assert leftovers.bring_in(folder) == 0
    assert list(folder.rglob("*.tracks"))
    assert row_of(company, call).status == "recording"


def test_a_file_that_is_being_written_is_left_alone(company: Company, folder: Path) -> None:
    call = record(company, folder)
    close(company, call)
    recording_files.working_path(
        leftovers.recording_path(folder, company.tenant.tenant_id, call.id)
    ).touch()
    assert leftovers.bring_in(folder) == 0
    assert leftovers.bring_in(folder, untouched_s=0) == 1


def test_what_nobody_wants_any_more_is_removed_unstored(company: Company, folder: Path) -> None:
    discarded, erased = record(company, folder), record(company, folder)
    for call in (discarded, erased):
        close(company, call)
    with database.tenant_transaction(company.tenant.tenant_id) as conn:
        recordings.discarded(conn, call_id=discarded.id)
        conn.execute("DELETE FROM aurion.recordings WHERE call_id = %s", (erased.id,))
    assert leftovers.bring_in(folder) == 0
    assert not list(folder.rglob("*.ogg*"))
    assert row_of(company, discarded).object_key is None


def test_a_damaged_file_is_noted_as_lost(company: Company, folder: Path) -> None:
    call = record(company, folder)
    close(company, call)
    path = leftovers.recording_path(folder, company.tenant.tenant_id, call.id)
    recording_files.working_path(path).write_bytes(b"something else")
    grow_old(path)
    (folder / "lost+found").mkdir()
    (folder / "lost+found" / "x.ogg.tracks").touch()
    grow_old(folder / "lost+found" / "x.ogg")
    assert leftovers.bring_in(folder) == 0
    assert row_of(company, call).status == "lost"
    assert [left.name for left in folder.rglob("*.tracks")] == ["x.ogg.tracks"]


def test_a_store_that_is_away_is_tried_again(
    company: Company, folder: Path, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = record(company, folder)
    close(company, call)
    with monkeypatch.context() as patch:
        patch.setenv("RECORDINGS_BUCKET", "no-such-bucket")
        settings.cache_clear()
        assert leftovers.bring_in(folder) == 0
    settings.cache_clear()
    assert row_of(company, call).status == "recording"
    assert leftovers.bring_in(folder) == 1
