"""Run the demo desk: `python -m local.desk --port 8090 --data desk.sqlite --token secret`."""

import argparse
import asyncio
import os
from pathlib import Path

from local.desk.server import make_app, serve


def main() -> None:
    """Serve the desk until it is told to stop."""
    parser = argparse.ArgumentParser(prog="local.desk", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="on loopback; 0 takes a free one")
    parser.add_argument("--data", type=Path, required=True, help="the SQLite file")
    parser.add_argument("--token", help="the API's bearer token; else from DESK_TOKEN")
    parser.add_argument("--allow-faults", action="store_true", help="open POST /faults, for tests")
    parser.add_argument(
        "--follow-parent", action="store_true", help="stop when standard input closes"
    )
    options = parser.parse_args()
    token = options.token or os.environ.get("DESK_TOKEN") or parser.error("no token")
    app = make_app(options.data, token, allow_faults=options.allow_faults)
    asyncio.run(serve(app, port=options.port, follow_parent=options.follow_parent))


if __name__ == "__main__":
    main()
