"""A call's recording from its first second to the bucket; with nothing to record, nothing."""

import asyncio
import contextlib
import logging
from pathlib import Path
from typing import Protocol

from aurion import calls, database, recordings, storage
from aurion.errors import (
    AurionError,
    DatabaseUnavailable,
    RecordingLost,
    RecordingSettled,
    StorageUnavailable,
)
from livekit.agents import AgentSession

from agent_container import leftovers, recording_files
from agent_container.call_state import CallState
from agent_container.lines import Line
from agent_container.recorder import Recorder
from agent_container.recording_files import Recording

logger = logging.getLogger(__name__)


class Tape(Protocol):
    """A recording under way, as far as a call steers it; times are epoch seconds."""

    def hold(self) -> None:
        """Keep the caller's sound in memory from here on: they have begun to speak."""
        ...

    def release(self, until: float, *, after_s: float = 0.0) -> None:
        """Let the caller's sound up to `until` be written, `after_s` from now."""
        ...

    def silence(self, start: float, end: float) -> None:
        """Replace a stretch of the caller's sound by silence."""
        ...

    def secure(self) -> None:
        """Mute the caller from here on."""
        ...

    def open(self) -> None:
        """Record the caller again."""
        ...

    def stop_caller(self) -> None:
        """Mute the caller for the rest of the call."""
        ...


class NoTape:
    """Record nothing."""

    def hold(self) -> None:
        """Do nothing."""

    def release(self, until: float, *, after_s: float = 0.0) -> None:
        """Do nothing."""

    def silence(self, start: float, end: float) -> None:
        """Do nothing."""

    def secure(self) -> None:
        """Do nothing."""

    def open(self) -> None:
        """Do nothing."""

    def stop_caller(self) -> None:
        """Do nothing."""


async def stop(state: CallState, tape: Tape) -> bool:
    """Stop recording the caller, at their wish; return whether they were recorded at all."""
    recorded = not isinstance(tape, NoTape)
    tape.stop_caller()
    state.recording_stopped = True
    try:
        await asyncio.to_thread(_note, state)
    except AurionError:
        # The tape is muted already, which is what counts; the row follows at the end of the call.
        logger.warning("a wish not to be recorded could not be noted at once")
    return recorded


class CallRecording:
    """Record a call if it is to be recorded, and bring the file to the bucket afterwards."""

    def __init__(self, state: CallState, folder: Path | None) -> None:
        self.tape: Tape = NoTape()
        self._state = state
        self._folder = folder
        self._recorder: Recorder | None = None

    async def begin(self, line: Line, *, secure: bool) -> None:
        """Note the recording and make its file, unless this call must not be recorded."""
        if self._folder is None or line.kind == "text" or not self._state.call.recording:
            return
        try:
            wanted = await asyncio.to_thread(self._begin_row)
        except DatabaseUnavailable:
            return  # what isn't on record must not be recorded
        if wanted:
            path = leftovers.recording_path(
                self._folder, self._state.tenant_id, self._state.call_id
            )
            path.parent.mkdir(parents=True, exist_ok=True)
            self.tape = self._recorder = Recorder(path, secure=secure)

    def tap(self, session: AgentSession[None]) -> None:
        """Listen in on a session's audio from now on."""
        recorder = self._recorder
        if recorder is None or session.input.audio is None or session.output.audio is None:
            return
        session.input.audio = recorder.tap_input(session.input.audio)
        session.output.audio = recorder.tap_output(session.output.audio)
        recorder.start()

    async def finish(self) -> str | None:
        """End the recording and store it; return the object's key, None when nothing is stored."""
        recorder, self._recorder = self._recorder, None
        if recorder is None:
            return None
        try:
            made = await recorder.finish()
        except RecordingLost:
            with contextlib.suppress(AurionError):
                await asyncio.to_thread(self._lose_row)
            return None
        try:
            return await asyncio.to_thread(self._store, made)
        except (StorageUnavailable, DatabaseUnavailable):
            # The file stays in its folder, and the row says so: whoever tidies up brings both on.
            logger.warning("a recording waits for its store", extra={"call": self._call})
            return None

    async def discard(self) -> None:
        """End the recording and keep nothing of it."""
        recorder, self._recorder = self._recorder, None
        if recorder is not None:
            await recorder.discard()

    @property
    def _call(self) -> str:
        return str(self._state.call_id)

    def _begin_row(self) -> bool:
        state = self._state
        with database.tenant_transaction(state.tenant_id) as conn:
            return recordings.begin(conn, call_id=state.call_id, epoch=state.epoch)

    def _lose_row(self) -> None:
        with database.tenant_transaction(self._state.tenant_id) as conn:
            recordings.lost(conn, call_id=self._state.call_id)

    def _store(self, made: Recording) -> str | None:
        state = self._state
        stored = storage.put_recording(state.tenant_id, state.call_id, made.path)
        try:
            with database.tenant_transaction(state.tenant_id) as conn:
                recordings.stored(
                    conn,
                    call_id=state.call_id,
                    stored_object=stored,
                    duration_ms=made.duration_ms,
                    guarded_intervals=made.guarded,
                )
        except RecordingSettled:
            storage.delete_recording(stored.object_key)
            recording_files.remove(made.path)
            return None
        recording_files.remove(made.path)
        return stored.object_key


def _note(state: CallState) -> None:
    with database.tenant_transaction(state.tenant_id) as conn:
        calls.stop_recording(conn, call_id=state.call_id, epoch=state.epoch)
