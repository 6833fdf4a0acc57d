import asyncio
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_container.speech import frames


def fed(data: bytes) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    return reader


@given(
    st.dictionaries(st.text(max_size=8), st.text(max_size=20), max_size=5), st.binary(max_size=99)
)
def test_a_frame_comes_out_as_it_went_in(header: dict[str, str], body: bytes) -> None:
    async def read() -> tuple[frames.Frame | None, frames.Frame | None]:
        reader = fed(frames.pack(header, body))
        return await frames.read(reader), await frames.read(reader)

    assert asyncio.run(read()) == (frames.Frame(header, body), None)


@pytest.mark.parametrize(
    "data",
    [
        b"\x00",
        struct.pack(">II", frames.MAX_HEADER + 1, 0),
        struct.pack(">II", 2, frames.MAX_BODY + 1) + b"{}",
        struct.pack(">II", 0, 0),
        struct.pack(">II", 4, 0) + b"nope",
        struct.pack(">II", 2, 0) + b"[]",
        struct.pack(">II", 2, 5) + b"{}abc",
        struct.pack(">II", 4, 0) + b"\xff\xff\xff\xff",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
async def test_bytes_that_are_no_frame_are_refused(data: bytes) -> None:
    with pytest.raises(frames.FrameMalformed) as refused:
        await frames.read(fed(data))
    assert refused.value.__cause__ is None


def test_a_frame_that_nobody_would_take_is_not_written() -> None:
    with pytest.raises(frames.FrameMalformed):
        frames.pack({}, b"x" * (frames.MAX_BODY + 1))
