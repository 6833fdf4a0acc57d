"""Ask the speech server over its socket: hear, speak, compare sentences; many requests at once."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from aurion import errors

from agent_container.speech import frames

LISTENING_RATE = 16_000
SPEAKING_RATE = 24_000
VECTOR_SIZE = 512


@dataclass(frozen=True, slots=True)
class Heard:
    """Hold what the recogniser made of one utterance.

    `confidence` is the geometric mean of the token probabilities (0 to 1), `no_speech` the model's
    own belief that nobody spoke; `cut` says that the text stopped at the token limit, as loops do.
    """

    text: str
    language: str
    confidence: float
    no_speech: float
    cut: bool = False


@dataclass(frozen=True, slots=True)
class Guess:
    """Hold one text that an utterance may say; `score` is its tokens' mean log-probability.

    `cut` says that the text stopped at the token limit, as loops do.
    """

    text: str
    score: float
    cut: bool


class SpeechClient:
    """Speak to one speech server; safe to share between all calls of a process.

    A lost connection fails what was already answered in part; anything else is asked once more on a
    new connection, so a restarted server is found again without anybody's help.
    """

    def __init__(self, socket_path: Path | str, *, timeout_s: float = 15.0) -> None:
        """Name the server's socket and how long an answer, or the next part of one, may take."""
        self._path = str(socket_path)
        self._timeout_s = timeout_s
        self._connecting = asyncio.Lock()
        self._connection: _Connection | None = None

    async def __aenter__(self) -> "SpeechClient":
        await self.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def connect(self) -> None:
        """Open the connection, unless it is open.

        Raises:
            SpeechUnavailable: nobody listens on the socket.
        """
        await self._open()

    async def aclose(self) -> None:
        """Close the connection and give up what is under way; a later request opens it again."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.aclose()

    async def transcribe(
        self,
        pcm: np.ndarray,
        *,
        language: str | None,
        languages: tuple[str, ...] = (),
        prompt: str | None = None,
        timeout_s: float | None = None,
    ) -> Heard:
        """Turn one utterance (int16, 16 kHz, mono) into text.

        With `language` None the language is detected first, among `languages` when any are given.
        `prompt` is text the recogniser takes as said just before; it steers spelling.

        Raises:
            SpeechUnavailable: no answer within `timeout_s`.
            SpeechRejected: the server does not know the language or the audio is no audio.
        """
        ask = {
            "op": "transcribe",
            "language": language,
            "languages": list(languages),
            "prompt": prompt,
        }
        said = await self._ask(ask, np.ascontiguousarray(pcm, np.int16).tobytes(), timeout_s)
        return Heard(**said.header["heard"])

    async def guess(
        self,
        pcm: np.ndarray,
        *,
        language: str,
        prompts: tuple[str, ...] = ("",),
        timeout_s: float | None = None,
    ) -> list[list[Guess]]:
        """Return what one utterance (int16, 16 kHz, mono) may say, the likeliest first.

        There is one list of at most five guesses for each of `prompts`, the texts that the
        recogniser takes as said just before ("" for none).

        Raises:
            SpeechUnavailable: no answer within `timeout_s`.
            SpeechRejected: the server does not know the language or the audio is no audio.
        """
        ask = {"op": "guess", "language": language, "prompts": list(prompts)}
        said = await self._ask(ask, np.ascontiguousarray(pcm, np.int16).tobytes(), timeout_s)
        return [[Guess(*guess) for guess in guesses] for guesses in said.header["guesses"]]

    async def synthesize(
        self,
        text: str,
        *,
        language: str,
        voice: str | None = None,
        cacheable: bool = False,
        timeout_s: float | None = None,
    ) -> AsyncGenerator[np.ndarray]:
        """Speak a text: yield int16 chunks at 24 kHz, the first once its first clause is ready.

        `cacheable` says that the text is the company's own and holds nothing of a caller, so that
        the server may keep its sound. `timeout_s` bounds the wait for each chunk.

        Raises:
            SpeechUnavailable: the next chunk did not come in time.
            SpeechRejected: the server has no voice for the language.
        """
        ask = {"op": "synthesize", "text": text, "language": language, "voice": voice}
        replies = self._replies(ask | {"cacheable": cacheable}, b"", timeout_s)
        async with contextlib.aclosing(replies):
            async for frame in replies:
                if frame.body:
                    yield np.frombuffer(frame.body, np.int16)

    async def prepare(
        self, texts: Sequence[str], *, language: str, timeout_s: float = 120.0
    ) -> None:
        """Have the server render fixed texts ahead of their first use (a company's own greeting).

        Raises:
            SpeechUnavailable: the server did not finish within `timeout_s`.
        """
        await self._ask(
            {"op": "prepare", "texts": list(texts), "language": language}, b"", timeout_s
        )

    async def encode(self, texts: Sequence[str], *, timeout_s: float | None = None) -> np.ndarray:
        """Turn sentences of any language into float32 vectors of length 1, one row each, 512 wide.

        Raises:
            SpeechUnavailable: no answer within `timeout_s`.
        """
        if not texts:
            return np.zeros((0, VECTOR_SIZE), np.float32)
        said = await self._ask({"op": "encode", "texts": list(texts)}, b"", timeout_s)
        return np.frombuffer(said.body, np.float32).reshape(len(texts), VECTOR_SIZE)

    async def health(self, *, timeout_s: float | None = None) -> dict[str, Any]:
        """Return what the server runs: models, voices, memory, queue lengths.

        Raises:
            SpeechUnavailable: no answer within `timeout_s`.
        """
        return (await self._ask({"op": "health"}, b"", timeout_s)).header["health"]

    async def _ask(self, ask: dict[str, Any], body: bytes, timeout_s: float | None) -> frames.Frame:
        last: frames.Frame | None = None
        async for frame in self._replies(ask, body, timeout_s):
            last = frame
        assert last is not None
        return last

    async def _replies(
        self, ask: dict[str, Any], body: bytes, timeout_s: float | None
    ) -> AsyncGenerator[frames.Frame]:
        timeout_s = self._timeout_s if timeout_s is None else timeout_s
        answered = False
        for attempt in (1, 2):
            connection = await self._open()
            try:
                async with contextlib.aclosing(connection.ask(ask, body, timeout_s)) as replies:
                    async for frame in replies:
                        answered = True
                        yield frame
            except _ConnectionLost:
                if self._connection is connection:
                    self._connection = None
                if answered or attempt == 2 or connection.left:
                    raise errors.SpeechUnavailable from None
            else:
                return

    async def _open(self) -> "_Connection":
        async with self._connecting:
            if self._connection is None or self._connection.closed:
                try:
                    reader, writer = await asyncio.open_unix_connection(self._path)
                except OSError:
                    raise errors.SpeechUnavailable from None
                self._connection = _Connection(reader, writer)
            return self._connection


class _ConnectionLost(Exception):
    """The socket closed under a request."""


class _Connection:
    """Carry many requests over one socket; each request has its own queue of replies."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Queue[frames.Frame | None]] = {}
        self._reading = asyncio.create_task(self._read(reader), name="speech client")
        self.closed = False
        self.left = False  # closed by us: what was under way is given up, not asked again

    async def ask(
        self, ask: dict[str, Any], body: bytes, timeout_s: float
    ) -> AsyncGenerator[frames.Frame]:
        number = next(self._numbers)
        replies: asyncio.Queue[frames.Frame | None] = asyncio.Queue()
        self._waiting[number] = replies
        finished = False
        try:
            header = ask | {"id": number, "deadline_ms": int(timeout_s * 1000)}
            self._write(frames.pack(header, body))
            while not finished:
                try:
                    async with asyncio.timeout(timeout_s):
                        frame = await replies.get()
                except TimeoutError:
                    raise errors.SpeechUnavailable from None
                if frame is None:
                    finished = True
                    raise _ConnectionLost
                finished = frame.header.get("event") != "chunk"
                if frame.header.get("event") == "error":
                    raise _error(str(frame.header.get("error")))
                yield frame
        finally:
            del self._waiting[number]
            if not finished:
                # the caller interrupted or gave up: tell the server, or it renders for nobody
                with contextlib.suppress(_ConnectionLost):
                    self._write(frames.pack({"id": number, "op": "cancel"}))

    def _write(self, data: bytes) -> None:
        if self.closed or self._writer.is_closing():
            raise _ConnectionLost
        self._writer.write(data)

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while (frame := await frames.read(reader)) is not None:
                replies = self._waiting.get(int(frame.header.get("id", 0)))
                if replies is not None:  # else the request was cancelled
                    replies.put_nowait(frame)
        except (OSError, frames.FrameMalformed):
            pass
        finally:
            self.closed = True
            for replies in self._waiting.values():
                replies.put_nowait(None)
            self._writer.close()

    async def aclose(self) -> None:
        self.left = True
        self._reading.cancel()
        with contextlib.suppress(asyncio.CancelledError, OSError):
            await self._reading
        self._writer.close()  # a reader that was ended before its first step has not
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


def _error(name: str) -> errors.AurionError:
    if name == errors.SpeechRejected.__name__:
        return errors.SpeechRejected()
    if name == errors.SpeechModelMissing.__name__:
        return errors.SpeechModelMissing()
    return errors.SpeechUnavailable()
