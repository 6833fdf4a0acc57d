"""The files of a recording: a crash-proof working file while the call runs, Ogg/Opus at its end.

Each channel is an Opus stream of its own, so neither waits for the other and no sound crosses from
one to the other, as it does in a coupled stereo stream. The working file is a log of encoded
packets: a process that is killed loses what it had not appended yet and nothing else. The end of
the call puts the two streams side by side into one Ogg/Opus file (RFC 6716 appendix B, RFC 7845
channel mapping 1 with two uncoupled streams) without coding them again.

Silence on purpose is exact. Opus's low-delay mode has a packet that says "nothing", which every
frame of a muted stretch is given; a frame on either side of it absorbs the transform's overlap.
"""

import mmap
import os
import struct
import time
import zlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import av
import numpy as np
import numpy.typing as npt
from aurion.errors import RecordingDamaged, RecordingNotFound

SAMPLE_RATE = 16_000
FRAME = 320  # samples in a packet: 20 ms
CALLER, AGENT = 0, 1

type Samples = npt.NDArray[np.int16]

_BIT_RATE = 32_000  # per channel; speech takes about 25 kbit/s of it, silence 1.2
_PRE_SKIP = 120  # samples at 48 kHz: the low-delay encoder's look-ahead, 2.5 ms
_SILENT_PACKET = b"\xb8\xff\xfe"
# After so many silent frames the encoder's own filters have rung out; more zeros change nothing.
_RUNG_OUT = 25

_MAGIC = b"AurionTracks1\n"
_OPENING = struct.Struct("<d")  # when the recording started, epoch seconds
_RECORD = struct.Struct("<BIH")  # kind, frame, bytes that follow
_GUARDED, _MUTED, _ENDED = 2, 3, 4
_GUARDED_SPAN = struct.Struct("<II")  # milliseconds
_MILLISECONDS = struct.Struct("<I")

_REVERSED_BITS = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@dataclass(frozen=True, slots=True)
class Recording:
    """Say where a finished recording lies, when it started (epoch seconds) and how long it is (ms).

    `guarded` lists where the caller's channel is silence on purpose, as (start, end) in ms.
    It is `whole` unless the process that made it died.
    """

    path: Path
    started_at: float
    duration_ms: int
    guarded: tuple[tuple[int, int], ...]
    whole: bool


def working_path(path: Path) -> Path:
    """Return the working file of a recording that will end up at `path`."""
    return path.with_name(path.name + ".tracks")


class WorkingFile:
    """Encode both channels into the log of packets; one thread at a time may use it.

    A log that is there already, left by a process that died in this call, is continued.
    """

    def __init__(self, path: Path) -> None:
        """Open the log.

        Raises:
            RecordingDamaged: There is a file, and it is none of ours.
        """
        self._path = path
        self._encoders = (_Encoder(), _Encoder())
        # Where each packet of the caller lies, by frame: (offset << 16 | size), 0 = not written.
        self._caller_packets = array("Q")
        self.started_at = time.time()
        self.muted_since_ms: int | None = None
        self.continued = path.exists()
        if self.continued:
            log = _read_log(path)
            self.started_at, self.muted_since_ms = log.started_at, log.muted_since
            self._caller_packets = log.packets[CALLER]
            self._file = _open_private(path, new=False)
            self._file.truncate(log.size)
        else:
            self._file = _open_private(path)
            self._file.write(_MAGIC + _OPENING.pack(self.started_at))

    def append(
        self, channel: int, first_frame: int, samples: Samples, muted: frozenset[int]
    ) -> None:
        """Encode whole frames from `first_frame` on; the frames in `muted` become exact silence."""
        records: list[bytes] = []
        offset = self._file.seek(0, os.SEEK_END)
        for index, frame in enumerate(samples.reshape(-1, FRAME), start=first_frame):
            packet = self._encoders[channel].encode(frame)
            if packet == _SILENT_PACKET or index in muted:
                continue  # a frame that is not in the log is silent
            record = _RECORD.pack(channel, index, len(packet)) + packet
            if channel == CALLER:
                self._note_caller_packet(index, offset + _RECORD.size, len(packet))
            records.append(record)
            offset += len(record)
        if records:
            self._file.write(b"".join(records))

    def mute(self, start_ms: int) -> None:
        """Note that the caller's channel is silence on purpose until a guard says where it ends."""
        self._note(_MUTED, _MILLISECONDS.pack(start_ms))

    def guard(self, start_ms: int, end_ms: int) -> None:
        """Note a stretch of the caller's channel that is silence on purpose."""
        self._note(_GUARDED, _GUARDED_SPAN.pack(start_ms, end_ms))

    def erase_caller(self, first_frame: int, end_frame: int) -> None:
        """Overwrite caller packets that are in the log already, so that no byte of them stays."""
        for frame in range(first_frame, min(end_frame, len(self._caller_packets))):
            place = self._caller_packets[frame]
            if place:
                offset, size = place >> 16, place & 0xFFFF
                self._file.seek(offset)
                self._file.write(_SILENT_PACKET[:size] + bytes(max(0, size - len(_SILENT_PACKET))))
                self._caller_packets[frame] = 0

    def end(self, duration_ms: int) -> None:
        """Note how long the whole recording is."""
        self._note(_ENDED, _MILLISECONDS.pack(duration_ms))

    def close(self) -> None:
        """Close the log."""
        self._file.close()

    def _note(self, kind: int, body: bytes) -> None:
        self._file.seek(0, os.SEEK_END)
        self._file.write(_RECORD.pack(kind, 0, len(body)) + body)

    def _note_caller_packet(self, frame: int, offset: int, size: int) -> None:
        missing = frame + 1 - len(self._caller_packets)
        if missing > 0:
            self._caller_packets.extend([0] * missing)
        self._caller_packets[frame] = offset << 16 | size


def finish(path: Path) -> Recording:
    """Write the Ogg/Opus file from its working file, which stays until `remove`.

    The working file of a process that died gives what it had written: its recording ends with the
    last packet of either channel.

    Raises:
        RecordingNotFound: There is no working file.
        RecordingDamaged: The working file is none of ours.
    """
    working = working_path(path)
    if not working.exists():
        raise RecordingNotFound
    log = _read_log(working)
    duration_ms = log.ended
    if duration_ms is None:
        duration_ms = max(len(channel) for channel in log.packets) * 20
    guarded = log.guarded
    if log.muted_since is not None and log.muted_since < duration_ms:
        guarded = [*guarded, (log.muted_since, duration_ms)]
    partial = path.with_name(path.name + ".part")
    with (
        working.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as packets,
        _open_private(partial) as out,
    ):
        for page in _pages(packets, log.packets, duration_ms):
            out.write(page)
    partial.replace(path)
    spans = tuple(_merged(guarded, duration_ms))
    return Recording(path, log.started_at, duration_ms, spans, whole=log.ended is not None)


def remove(path: Path) -> None:
    """Remove a recording and its working file."""
    path.unlink(missing_ok=True)
    working_path(path).unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class _Log:
    """A working file: where each channel's packets lie (offset << 16 | size), its notes in ms."""

    started_at: float
    packets: tuple[array[int], array[int]]
    guarded: list[tuple[int, int]]
    muted_since: int | None
    ended: int | None
    size: int


class _Encoder:
    """One channel's Opus encoder: low delay, one packet out for each frame in."""

    def __init__(self) -> None:
        context = cast(av.AudioCodecContext, av.CodecContext.create("libopus", "w"))
        context.sample_rate = SAMPLE_RATE
        context.layout = "mono"
        context.format = "s16"
        context.bit_rate = _BIT_RATE
        context.options = {"application": "lowdelay", "frame_duration": "20", "vbr": "on"}
        self._context = context
        self._fed = 0
        self._silent = 0

    def encode(self, samples: Samples) -> bytes:
        if samples.any():
            self._silent = 0
        elif self._silent >= _RUNG_OUT:
            return _SILENT_PACKET
        else:
            self._silent += 1
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = SAMPLE_RATE
        frame.pts = self._fed
        self._fed += FRAME
        (packet,) = self._context.encode(frame)
        return bytes(packet)


def _open_private(path: Path, *, new: bool = True) -> BinaryIO:
    flags = os.O_RDWR | (os.O_CREAT | os.O_TRUNC if new else 0)
    return os.fdopen(os.open(path, flags, 0o600), "r+b", buffering=0)


def _read_log(path: Path) -> _Log:
    """Read a log; a record cut off by a kill ends it."""
    body = path.read_bytes()
    if not body.startswith(_MAGIC) or len(body) < len(_MAGIC) + _OPENING.size:
        raise RecordingDamaged
    (started_at,) = _OPENING.unpack_from(body, len(_MAGIC))
    packets = (array("Q"), array("Q"))
    guarded: list[tuple[int, int]] = []
    muted_since: int | None = None
    ended: int | None = None
    at = len(_MAGIC) + _OPENING.size
    while at + _RECORD.size <= len(body):
        kind, frame, size = _RECORD.unpack_from(body, at)
        start = at + _RECORD.size
        if start + size > len(body):
            break
        if kind in (CALLER, AGENT):
            places = packets[kind]
            places.extend([0] * (frame + 1 - len(places)))
            # An erased packet keeps its place in the log and begins with the silent one.
            if not body.startswith(_SILENT_PACKET, start):
                places[frame] = start << 16 | size
        elif kind == _GUARDED:
            span: tuple[int, int] = _GUARDED_SPAN.unpack_from(body, start)
            guarded.append(span)
            muted_since = None if span[0] == muted_since else muted_since
        elif kind == _MUTED:
            (muted_since,) = _MILLISECONDS.unpack_from(body, start)
        elif kind == _ENDED:
            (ended,) = _MILLISECONDS.unpack_from(body, start)
        else:
            raise RecordingDamaged
        at = start + size
    return _Log(started_at, packets, guarded, muted_since, ended, at)


def _pages(
    log: mmap.mmap, places: tuple[array[int], array[int]], duration_ms: int
) -> Iterator[bytes]:
    """Yield the pages of the Ogg file, one for each second."""
    serial = zlib.crc32(os.urandom(16))
    mapping = bytes([2, 0, 0, 1])  # two streams, none coupled, caller left and agent right
    head = b"OpusHead" + struct.pack("<BBHIhB", 1, 2, _PRE_SKIP, SAMPLE_RATE, 0, 1) + mapping
    vendor = b"AurionAI"
    tags = b"OpusTags" + struct.pack("<I", len(vendor)) + vendor + struct.pack("<I", 0)
    yield _page(serial, 0, 0, [head], first=True)
    yield _page(serial, 1, 0, [tags])

    end = _PRE_SKIP + duration_ms * 48
    count = max(1, -(-end // 960))
    number = 2
    for start in range(0, count, 50):
        stop = min(start + 50, count)
        body = [
            _self_delimited(_packet(log, places[CALLER], frame))
            + _packet(log, places[AGENT], frame)
            for frame in range(start, stop)
        ]
        last = stop == count
        yield _page(serial, number, end if last else stop * 960, body, last=last)
        number += 1


def _packet(log: mmap.mmap, places: array[int], frame: int) -> bytes:
    place = places[frame] if frame < len(places) else 0
    return log[place >> 16 : (place >> 16) + (place & 0xFFFF)] if place else _SILENT_PACKET


def _self_delimited(packet: bytes) -> bytes:
    """Give a packet of one frame its own length, so that another stream's packet can follow it."""
    if packet[0] & 3:
        raise RecordingDamaged
    size = len(packet) - 1
    if size < 252:
        return packet[:1] + bytes([size]) + packet[1:]
    short = 252 + (size & 3)
    return packet[:1] + bytes([short, (size - short) >> 2]) + packet[1:]


def _page(
    serial: int,
    number: int,
    position: int,
    packets: list[bytes],
    *,
    first: bool = False,
    last: bool = False,
) -> bytes:
    lacing = b"".join(b"\xff" * (len(p) // 255) + bytes([len(p) % 255]) for p in packets)
    flags = (2 if first else 0) | (4 if last else 0)
    head = b"OggS\0" + struct.pack("<BqII", flags, position, serial, number)
    tail = bytes([len(lacing)]) + lacing + b"".join(packets)
    return head + struct.pack("<I", _checksum(head + bytes(4) + tail)) + tail


def _checksum(page: bytes) -> int:
    """Compute Ogg's CRC-32, which is zlib's with the bits of every byte the other way round."""
    reversed_sum = zlib.crc32(page.translate(_REVERSED_BITS), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{reversed_sum:032b}"[::-1], 2)


def _merged(spans: list[tuple[int, int]], duration_ms: int) -> Iterator[tuple[int, int]]:
    current: tuple[int, int] | None = None
    for start, end in sorted((start, min(end, duration_ms)) for start, end in spans):
        if current is not None and start <= current[1]:
            current = (current[0], max(current[1], end))
            continue
        if current is not None:
            yield current
        current = (start, end)
    if current is not None:
        yield current
