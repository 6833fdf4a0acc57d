"""The wire format between a speech client and the speech server: one header and one body a frame.

A frame is two unsigned 32-bit big-endian lengths, a JSON object of the first length and raw bytes
of the second. Requests carry `id` and `op`; every reply carries the `id` it answers and an `event`.
"""

import asyncio
import json
import struct
from dataclasses import dataclass
from typing import Any

_LENGTHS = struct.Struct(">II")
MAX_HEADER = 256 * 1024
MAX_BODY = 8 * 1024 * 1024


class FrameMalformed(ValueError):
    """The bytes on the socket are no frame of ours."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Hold one message: what it says and, when it carries sound or vectors, their bytes."""

    header: dict[str, Any]
    body: bytes = b""


def pack(header: dict[str, Any], body: bytes = b"") -> bytes:
    """Write a frame as the bytes that go over the socket."""
    said = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    if len(said) > MAX_HEADER or len(body) > MAX_BODY:
        raise FrameMalformed("a frame is too large")
    return _LENGTHS.pack(len(said), len(body)) + said + body


async def read(reader: asyncio.StreamReader) -> Frame | None:
    """Read the next frame, or None when the other side has closed between two frames.

    Raises:
        FrameMalformed: the bytes are no frame, or the other side closed in the middle of one.
    """
    try:
        lengths = await reader.readexactly(_LENGTHS.size)
    except asyncio.IncompleteReadError as short:
        if short.partial:
            raise FrameMalformed("the connection closed inside a frame") from None
        return None
    header_length, body_length = _LENGTHS.unpack(lengths)
    if not 2 <= header_length <= MAX_HEADER or body_length > MAX_BODY:
        raise FrameMalformed("a frame is too large")
    try:
        said = await reader.readexactly(header_length)
        body = await reader.readexactly(body_length)
    except asyncio.IncompleteReadError:
        raise FrameMalformed("the connection closed inside a frame") from None
    try:
        header: object = json.loads(said)
    except ValueError:
        raise FrameMalformed("a frame's header is not JSON") from None
    # from None above: a decoder's message quotes what it could not read, which may be a caller's
    # words
    if not isinstance(header, dict):
        raise FrameMalformed("a frame's header is not an object")
    return Frame(header, body)
