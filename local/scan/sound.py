"""What recordings say: guarded stretches judged by their samples, the rest by listening again."""

import io
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from uuid import UUID

import av
import numpy as np
import numpy.typing as npt
import psycopg
from aurion import storage
from aurion.errors import RecordingNotFound
from psycopg.rows import class_row

from agent_container.speech.client import SpeechClient
from local.postgres import Postgres
from local.scan.sinks import Piece

CHANNELS = ("caller", "agent")
_RATE = 48_000  # what Opus decodes to
_SPEECH_RATE = 16_000
_LONGEST_PIECE_S = 24.0  # less than the recogniser hears at once
_PAUSE_S = 0.4
_QUIET = 0.004  # of full scale

type Sound = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class StoredRecording:
    """A recording as the database knows it; intervals are [start_ms, end_ms]."""

    database: str
    tenant_id: UUID
    call_id: UUID
    object_key: str
    languages: list[str]
    guarded_intervals: list[list[int]]


def list_recordings(server: Postgres) -> Iterator[StoredRecording]:
    """List the recordings of every company in every database."""
    with psycopg.connect(server.dsn()) as conn:
        names = conn.execute("SELECT datname FROM pg_database WHERE datallowconn").fetchall()
    for (name,) in names:
        with psycopg.connect(server.dsn(name)) as conn:
            known = conn.execute("SELECT to_regclass('aurion.recordings')").fetchone()
            if known == (None,):
                continue  # not a database of the product
            rows = (
                conn.cursor(row_factory=class_row(StoredRecording))
                .execute(
                    """
                    SELECT current_database()::text AS database, r.tenant_id, r.call_id,
                        r.object_key, t.languages, r.guarded_intervals
                    FROM aurion.recordings r JOIN aurion.tenants t USING (tenant_id)
                    WHERE r.object_key IS NOT NULL
                    """
                )
                .fetchall()
            )
        yield from rows


def decode(ogg: bytes) -> Sound:
    """Decode a recording as a player does: one row a channel, 48 kHz, full scale 1."""
    with av.open(io.BytesIO(ogg), mode="r") as container:
        frames = [frame.to_ndarray() for frame in container.decode(audio=0)]
    if not frames:
        return np.zeros((len(CHANNELS), 0), np.float32)
    return np.concatenate(frames, axis=1).astype(np.float32, copy=False)


def broken_intervals(sound: Sound, guarded_intervals: Iterable[Iterable[int]]) -> list[int]:
    """Give the starts (ms) of guarded stretches in which the caller's channel isn't all zero."""
    broken: list[int] = []
    for start_ms, end_ms in guarded_intervals:
        stretch = sound[0, start_ms * _RATE // 1000 : end_ms * _RATE // 1000]
        if np.any(stretch):
            broken.append(start_ms)
    return broken


async def recordings(server: Postgres, speech: SpeechClient) -> AsyncIterator[Piece]:
    """Judge and transcribe every recording, both channels."""
    for recording in list_recordings(server):
        where = f"call {str(recording.call_id)[:8]}"
        try:
            sound = decode(storage.get_recording(recording.object_key))
        except RecordingNotFound:
            yield Piece("recordings", where, b"", unread="the row names an object that isn't there")
            continue
        for start_ms in broken_intervals(sound, recording.guarded_intervals):
            reason = f"sound in a guarded stretch, from {start_ms / 1000:.1f} s on"
            yield Piece("recordings", where, b"", unread=reason)
        for name, channel in zip(CHANNELS, sound, strict=False):
            heard = [
                (await speech.transcribe(piece, language=None, languages=(*recording.languages,)))
                for piece in utterances(channel)
            ]
            text = " ".join(one.text for one in heard)
            yield Piece("recordings", f"{where}, {name} heard again", text.encode())
            yield Piece(
                "recordings", f"{where}, keys of the {name}", keys_pressed(channel).encode()
            )


def utterances(channel: Sound) -> Iterator[npt.NDArray[np.int16]]:
    """Cut a channel at its pauses into pieces of 16 kHz for the recogniser."""
    samples = _to_speech_rate(channel)
    block = _SPEECH_RATE // 50
    blocks = np.abs(samples[: len(samples) // block * block].reshape(-1, block)).max(axis=1)
    loud = np.flatnonzero(blocks > _QUIET * 32767)
    if not loud.size:
        return
    pause = int(_PAUSE_S * 50)
    begin = previous = int(loud[0])
    for at in map(int, [*loud[1:], len(blocks) + pause]):
        too_long = (at - begin) / 50 > _LONGEST_PIECE_S
        if at - previous > pause or too_long:
            low, high = max(0, begin - 10), min(len(blocks), previous + 10)
            yield samples[low * block : high * block]
            begin = at
        previous = at


def keys_pressed(channel: Sound) -> str:
    """Hear keypad tones (ITU-T Q.23) in a channel, for a badge typed within reach of a recorder."""
    samples = _to_speech_rate(channel).astype(np.float32) / 32768
    block = _SPEECH_RATE // 40
    if len(samples) < block:
        return ""
    blocks = samples[: len(samples) // block * block].reshape(-1, block)
    times = np.arange(block) / _SPEECH_RATE
    waves = np.exp(-2j * np.pi * np.outer((*_ROWS, *_COLUMNS), times))
    power = np.abs(blocks @ waves.T / block) ** 2
    whole = np.mean(blocks**2, axis=1) / 2 + 1e-12
    rows, columns = power[:, :4], power[:, 4:]
    strong = (rows.max(axis=1) + columns.max(axis=1)) / whole
    balanced = np.abs(np.log10((rows.max(axis=1) + 1e-12) / (columns.max(axis=1) + 1e-12))) < 1
    pressed = (strong > 0.8) & balanced & (whole > 1e-5)
    keys: list[str] = []
    last = ""
    for on, row, column in zip(pressed, rows.argmax(axis=1), columns.argmax(axis=1), strict=True):
        key = _KEYS[row][column] if on else ""
        if key and key != last:
            keys.append(key)
        last = key
    return "".join(keys)


def _to_speech_rate(channel: Sound) -> npt.NDArray[np.int16]:
    # A mean over three samples is filter enough for a search.
    whole = channel[: len(channel) // 3 * 3].reshape(-1, 3).mean(axis=1)
    return (whole * 32767).clip(-32768, 32767).astype(np.int16)


_ROWS = (697, 770, 852, 941)
_COLUMNS = (1209, 1336, 1477, 1633)
_KEYS = ("123A", "456B", "789C", "*0#D")
