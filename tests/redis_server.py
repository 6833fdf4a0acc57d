"""A server of Redis's protocol for tests: found, or built once with Go.

LiveKit keeps its SIP trunks and dispatch rules in one.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.livekit_server import free_port

_SOURCE = Path(__file__).parent / "data" / "redis_server"
_BUILT = Path.home() / ".cache" / "aurion" / "redis-miniredis-v2.35.0" / "server"


def find_or_build() -> Path:
    """Find the server: REDIS_SERVER, the PATH, or our cache, into which a small one is built."""
    named = os.environ.get("REDIS_SERVER") or shutil.which("redis-server")
    if named:
        return Path(named)
    if not _BUILT.exists():
        go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
        assert go, "a Redis server is needed: put it on the PATH, or install Go to build one"
        _BUILT.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([go, "build", "-o", str(_BUILT), "."], cwd=_SOURCE, check=True)
    return _BUILT


@contextmanager
def run() -> Iterator[str]:
    """Run one that keeps nothing on disk, and give its address (host:port)."""
    binary = find_or_build()
    own = binary == _BUILT
    port = free_port()
    command = (
        [str(binary)]
        if own
        else [str(binary), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    )
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        if own:
            yield process.stdout.readline().strip()
        else:
            deadline = time.monotonic() + 10
            while "eady to accept" not in process.stdout.readline():
                assert time.monotonic() < deadline
            yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
