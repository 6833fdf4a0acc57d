"""Get what the tests need beside Python packages: a browser, a LiveKit server and what it needs.

In CI a part that cannot be had is a failure. Elsewhere it is a loud line, and the tests that need
the part fail: none is skipped.
"""

import os
import shutil
import subprocess
import sys

from tests import livekit_server, redis_server

CHROMIUM = ("/usr/bin/chromium", "/usr/bin/google-chrome")


def get_chromium() -> str | None:
    """Find a Chromium, or install Debian's where this account may; say what is wrong otherwise."""
    known = [os.environ.get("CHROMIUM_PATH", ""), *CHROMIUM]
    if any(path and os.access(path, os.X_OK) for path in known):
        return None
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return "install Chromium, or name it in CHROMIUM_PATH"
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ["apt-get", "update", "-qq"],
        ["apt-get", "install", "-qq", "-y", "--no-install-recommends", "chromium"],
    ):
        done = subprocess.run(command, check=False, stdout=subprocess.DEVNULL, env=environment)
        if done.returncode:
            return "Debian's package chromium could not be installed"
    return None


def get_livekit() -> str | None:
    """Find or build the LiveKit server; say what is wrong otherwise."""
    try:
        livekit_server.find_or_build()
    except (AssertionError, OSError, subprocess.CalledProcessError) as error:
        return f"the LiveKit server could not be built: {error}"
    return None


def get_redis() -> str | None:
    """Find or build a server of Redis's protocol; say what is wrong otherwise."""
    try:
        redis_server.find_or_build()
    except (AssertionError, OSError, subprocess.CalledProcessError) as error:
        return f"a Redis server could not be built: {error}"
    return None


def main() -> int:
    """Get every part; 1 in CI when one is missing."""
    missing = [fault for fault in (get_chromium(), get_livekit(), get_redis()) if fault]
    for fault in missing:
        print(f"\n*** MISSING: {fault}. The tests that need it will fail. ***\n", file=sys.stderr)
    return 1 if missing and os.environ.get("CI") else 0


if __name__ == "__main__":
    sys.exit(main())
