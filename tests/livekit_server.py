"""A real LiveKit server on loopback, for tests: found, or built once with Go."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

VERSION = "v1.13.5"
API_KEY, API_SECRET = "testkey", "test-secret-of-at-least-32-characters"
_MODULE = f"github.com/livekit/livekit-server/cmd/server@{VERSION}"
_CACHE = Path.home() / ".cache" / "aurion" / f"livekit-{VERSION}"
_READY_S = 20.0


def find_or_build() -> Path:
    """Find the server: LIVEKIT_SERVER, the PATH, or our cache, into which it is built once."""
    named = os.environ.get("LIVEKIT_SERVER") or shutil.which("livekit-server")
    if named:
        return Path(named)
    binary = _CACHE / "server"
    if not binary.exists():
        go = shutil.which("go")
        assert go, "the LiveKit server is needed: put it on the PATH, or install Go to build it"
        _CACHE.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            [go, "install", _MODULE], env={**os.environ, "GOBIN": str(_CACHE)}, check=True
        )
    return binary


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(slots=True)
class LiveKitServer:
    """A server whose signalling and media stay on 127.0.0.1: ICE over TCP, and no public STUN.

    It tells `webhooks` (a URL) what happens in its rooms, and knows trunks and dispatch rules when
    it can keep them in `redis` (host:port).
    """

    log: Path
    webhooks: str = ""
    redis: str = ""
    port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def environment(self) -> dict[str, str]:
        """What a worker or an API client needs to find this server."""
        return {
            "LIVEKIT_URL": self.url,
            "LIVEKIT_API_KEY": API_KEY,
            "LIVEKIT_API_SECRET": API_SECRET,
        }

    def __enter__(self) -> Self:
        udp = free_port(socket.SOCK_DGRAM)
        config: dict[str, Any] = {
            "port": self.port,
            "bind_addresses": ["127.0.0.1"],
            "rtc": {
                "node_ip": "127.0.0.1",
                "enable_loopback_candidate": True,
                "interfaces": {"includes": ["lo"]},
                "use_external_ip": False,
                "tcp_port": free_port(),
                "udp_port": udp,
                # Without it every client is told to ask public STUN servers.
                "stun_servers": [f"127.0.0.1:{udp}"],
            },
            "keys": {API_KEY: API_SECRET},
            "room": {"empty_timeout": 30, "departure_timeout": 5},
            "logging": {"level": "info", "json": True},
        }
        if self.webhooks:
            config["webhook"] = {"urls": [self.webhooks], "api_key": API_KEY}
        if self.redis:
            config["redis"] = {"address": self.redis}
        with self.log.open("wb") as log:
            # JSON is YAML, and the environment leaves the key neither on disk nor in `ps`.
            self._process = subprocess.Popen(
                [find_or_build()],
                env={**os.environ, "LIVEKIT_CONFIG": json.dumps(config)},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + _READY_S
        while time.monotonic() < deadline and self._process.poll() is None:
            with (
                contextlib.suppress(OSError),
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=1) as answer,
            ):
                if answer.read() == b"OK":
                    return self
            time.sleep(0.02)
        self.__exit__()
        raise AssertionError(self.log.read_text()[-3000:])

    def __exit__(self, *_: object) -> None:
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        # The first signal waits for participants to leave, the second does not.
        for wait_s in (0.3, 5.0):
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(wait_s)
                return
        process.kill()
        process.wait()
