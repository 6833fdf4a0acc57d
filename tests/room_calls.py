"""A caller who comes into a room as the telephone side does, and the worker that answers them."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import psutil
from livekit import api, rtc

from local.caller import read_audio
from tests.livekit_server import API_KEY, API_SECRET, LiveKitServer, free_port

_RATE = 8_000
_FRAME = 160  # 20 ms
_HEARD_RATE = 16_000
_AUDIBLE = 300
_KEY_CODES = {str(digit): digit for digit in range(10)} | {"*": 10, "#": 11}


@dataclass(slots=True)
class Worker:
    """The real worker as a process group of its own."""

    server: LiveKitServer
    folder: Path
    environment: dict[str, str]
    log: Path = field(init=False)
    health_port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.log = self.folder / "worker.log"
        (self.folder / "recordings").mkdir(exist_ok=True)
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "agent_container.main", "start", "--log-level", "info"],
                env={
                    **os.environ,
                    **self.server.environment(),
                    **self.environment,
                    "HEALTH_HOST": "127.0.0.1",
                    "HEALTH_PORT": str(self.health_port),
                    "RECORDINGS_FOLDER": str(self.recordings),
                    "IDLE_PROCESSES": "1",
                },
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + 120
        # The health port answers earlier, and a call placed before this line is lost.
        while b"registered worker" not in self.log.read_bytes():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                raise AssertionError(self.log.read_text()[-4000:])
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    @property
    def recordings(self) -> Path:
        return self.folder / "recordings"

    def state(self) -> dict[str, Any]:
        """What the worker says of itself on its health port."""
        url = f"http://127.0.0.1:{self.health_port}/worker"
        with urllib.request.urlopen(url, timeout=5) as answer:
            return dict(json.load(answer))

    def active_calls(self) -> int:
        return int(self.state().get("active_jobs", 0))

    def drain(self) -> None:
        """Ask for no more calls, as a deployment does."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)

    async def exit_code(self, *, within_s: float = 60.0) -> int:
        """Wait until the worker has ended by itself."""
        assert self._process is not None
        async with asyncio.timeout(within_s):
            while (code := self._process.poll()) is None:
                await asyncio.sleep(0.1)
        return code

    def kill(self) -> None:
        """Kill the worker and all its calls, as a machine that fails does."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def kill_call(self) -> None:
        """Kill the one process that serves a call, as an out-of-memory kill does."""
        assert self._process is not None
        # Only a process in a call has a connection of its own to the server.
        jobs = [
            process
            for process in psutil.Process(self._process.pid).children(recursive=True)
            if any(c.raddr and c.raddr.port == self.server.port for c in process.net_connections())
        ]
        assert len(jobs) == 1, jobs
        jobs[0].kill()


class PhoneCaller:
    """A participant like one the SIP side makes: its kind, its attributes, 8 kHz, line noise."""

    def __init__(
        self,
        server: LiveKitServer,
        *,
        token: str,
        tenant_id: str,
        identity: str = "sip_caller",
        kind: Literal["sip", "standard"] = "sip",
    ) -> None:
        self._server = server
        self._identity = identity
        self._kind: Literal["sip", "standard"] = kind
        self._room_name = f"call-{token}"
        self._tenant_id = tenant_id
        self._room = rtc.Room()
        self._source = rtc.AudioSource(_RATE, 1, queue_size_ms=100)
        noise = np.random.default_rng(2).standard_normal(_RATE) * 10
        self._noise = noise.astype(np.int16)
        self._speech: np.ndarray | None = None
        self._spoken = 0
        self._done: asyncio.Future[float] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.heard_first_at: float | None = None  # perf_counter of the first audible sample
        self.heard_last_at = 0.0
        self._waiting_since: float | None = None
        self._next: tuple[float, asyncio.Future[float]] | None = None
        self.reply_ms: list[int] = []
        self.joined_at = 0.0
        self.hung_up = asyncio.Event()

    async def __aenter__(self) -> Self:
        attributes = {
            "sip.callID": "SCL_test",
            "sip.callStatus": "active",
            "sip.trunkID": "ST_test",
            "sip.ruleID": "SDR_test",
        }
        errand = json.dumps({"tenant": self._tenant_id})
        dispatch = api.RoomAgentDispatch(agent_name="aurion", metadata=errand)
        token = (
            api.AccessToken(API_KEY, API_SECRET)
            .with_identity(self._identity)
            .with_kind(self._kind)
            .with_attributes(attributes)
            .with_grants(api.VideoGrants(room_join=True, room=self._room_name))
            .with_room_config(api.RoomConfiguration(agents=[dispatch], metadata=errand))
            .to_jwt()
        )
        self._room.on("track_subscribed", self._subscribed)
        self._room.on("disconnected", lambda *_: self.hung_up.set())
        await self._room.connect(self._server.url, token)
        self.joined_at = time.perf_counter()
        await self._room.local_participant.publish_track(
            rtc.LocalAudioTrack.create_audio_track("sip-audio", self._source),
            rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE, dtx=False, red=False),
        )
        self._tasks.append(asyncio.create_task(self._send()))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._room.disconnect()
        await self._source.aclose()

    async def greeting(self, *, within_s: float = 30.0) -> float:
        """Wait for the first sound; seconds from joining to it."""
        async with asyncio.timeout(within_s):
            while self.heard_first_at is None:
                await asyncio.sleep(0.02)
        return self.heard_first_at - self.joined_at

    async def turn_given(self, *, quiet_s: float = 1.5, within_s: float = 60.0) -> None:
        """Wait until the agent has been heard since our last words, and then been quiet."""
        async with asyncio.timeout(within_s):
            while not self.hung_up.is_set() and (
                self._waiting_since is not None
                or time.perf_counter() - self.heard_last_at < quiet_s
            ):
                await asyncio.sleep(0.02)

    async def heard_after(self, moment: float, *, within_s: float = 30.0) -> float:
        """Wait for the first sound after a moment of perf_counter; the seconds between them."""
        heard = asyncio.get_running_loop().create_future()
        self._next = moment, heard
        async with asyncio.timeout(within_s):
            return await heard - moment

    async def say(self, path: Path) -> None:
        """Speak a file at 8 kHz and wait for the reply to begin and end."""
        samples = read_audio(path)[::2]
        loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > 200)
        self._speech, self._spoken = samples[: loud[-1] + 1], 0
        self._done = asyncio.get_running_loop().create_future()
        self._waiting_since = await self._done
        await self.turn_given()

    async def press(self, keys: Sequence[str], *, wait: bool = True) -> None:
        """Press keys and wait for the reply to begin and end."""
        for key in keys:
            await self._room.local_participant.publish_dtmf(code=_KEY_CODES[key], digit=key)
            await asyncio.sleep(0.15)
        if not wait:
            return
        self._waiting_since = time.perf_counter()
        await self.turn_given()

    def _subscribed(self, track: rtc.Track, *_: object) -> None:
        if track.kind == rtc.TrackKind.KIND_AUDIO:
            self._tasks.append(asyncio.create_task(self._listen(track)))

    async def _listen(self, track: rtc.Track) -> None:
        stream = rtc.AudioStream(track, sample_rate=_HEARD_RATE, num_channels=1, frame_size_ms=20)
        async for event in stream:
            now = time.perf_counter()
            samples = np.frombuffer(event.frame.data, dtype=np.int16).astype(np.int32)
            loud = np.flatnonzero(np.abs(samples) > _AUDIBLE)
            if not loud.size:
                continue
            # A frame is handed over when it is complete: its samples were heard before.
            at = now - (len(samples) - int(loud[0])) / _HEARD_RATE
            self.heard_last_at = now
            if self.heard_first_at is None:
                self.heard_first_at = at
            if self._next is not None and at > self._next[0] and not self._next[1].done():
                self._next[1].set_result(at)
                self._next = None
            if self._waiting_since is not None:
                self.reply_ms.append(round((at - self._waiting_since) * 1000))
                self._waiting_since = None

    async def _send(self) -> None:
        due, position = time.perf_counter(), 0
        while True:
            due += _FRAME / _RATE
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            start = position % (_RATE - _FRAME)
            position += _FRAME
            mixed = self._noise[start : start + _FRAME].astype(np.int32)
            if self._speech is not None:
                piece = self._speech[self._spoken : self._spoken + _FRAME]
                mixed[: len(piece)] += piece
                self._spoken += len(piece)
                if self._spoken >= len(self._speech):
                    self._speech = None
                    assert self._done is not None
                    self._done.set_result(due - (_FRAME - len(piece)) / _RATE)
            samples = mixed.clip(-32768, 32767).astype(np.int16)
            await self._source.capture_frame(rtc.AudioFrame(samples.tobytes(), _RATE, 1, _FRAME))
