"""Run the gateway: `python -m local.gateway --functions functions --logs DIRECTORY`.

The environment is the whole stack's; each function gets its part of it. Prints its address and
`ready`.
"""

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

import uvicorn
from aurion import function_table

from local.gateway import environments, triggers
from local.gateway.sandboxes import Code, Sandboxes
from local.gateway.server import Gateway, JsonLines

_SHARED = Path(function_table.__file__).parent


def main() -> None:
    """Read the table and serve it until told to stop, or until the starter is gone."""
    options = _options()
    _log_to(options.logs / "gateway.log")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_run(options))


async def _run(options: argparse.Namespace) -> None:
    settings = dict(os.environ)
    region = settings["AWS_REGION"]
    table = function_table.read(options.functions / "functions.toml")
    logs: Path = options.logs / "functions"
    logs.mkdir(mode=0o700, parents=True, exist_ok=True)
    shared = Code(_SHARED, for_s=0.5)
    every = {
        function.name: Sandboxes(
            function,
            folder=options.functions / function.name,
            shared=shared,
            environment=environments.of_function(function, settings),
            log=logs / f"{function.name}.log",
            most_processes=options.most_processes,
            reload=not options.no_reload,
        )
        for function in table.functions
    }
    gateway = Gateway(
        table,
        every,
        region=region,
        access_key_id=settings["AWS_ACCESS_KEY_ID"],
        base64_always=options.base64,
    )
    config = uvicorn.Config(
        gateway,
        host="127.0.0.1",
        port=options.port,
        log_config=None,
        access_log=False,
        lifespan="off",
    )
    http = uvicorn.Server(config)
    work = [asyncio.create_task(every[name].warm()) for name in options.warm]
    if not options.no_triggers:
        work += _triggers(table, gateway, settings, region, options)
    stopping = asyncio.create_task(_follow_parent()) if options.follow_parent else None
    # The server raises a signal once more when it has ended; by then it is known.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: None)
    serving = asyncio.create_task(http.serve())
    try:
        while not http.started and not serving.done():
            await asyncio.sleep(0.01)
        if not serving.done():
            port = http.servers[0].sockets[0].getsockname()[1]
            sys.stdout.write(f"http://127.0.0.1:{port}\nready\n")
            sys.stdout.flush()
        await asyncio.wait(
            [serving, *([stopping] if stopping else [])], return_when=asyncio.FIRST_COMPLETED
        )
        http.should_exit = True
        await serving
    finally:
        for task in work:
            task.cancel()
        await asyncio.gather(*(sandboxes.close() for sandboxes in every.values()))


def _triggers(
    table: function_table.FunctionTable,
    gateway: Gateway,
    settings: Mapping[str, str],
    region: str,
    options: argparse.Namespace,
) -> list[asyncio.Task[None]]:
    work: list[asyncio.Task[None]] = []
    for function in table.functions:

        def invoke(event: object, name: str = function.name) -> triggers.Invocation:
            return gateway.invoke(name, event)

        if function.schedule is not None:
            keeping = triggers.keep_schedule(
                function.name,
                function.schedule,
                invoke,
                region=region,
                soonest_s=options.soonest_s,
            )
            work.append(asyncio.create_task(keeping))
        if function.queue is not None:
            url = settings.get(environments.queue_variable(function.queue))
            if url:
                watching = triggers.watch_queue(
                    environments.sqs_client(settings), url, invoke, region=region
                )
                work.append(asyncio.create_task(watching))
    return work


async def _follow_parent() -> None:
    """Wait for the end of standard input: our starter has gone, however it went."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def read() -> None:
        if not os.read(sys.stdin.fileno(), 1024):
            loop.remove_reader(sys.stdin.fileno())
            ended.set()

    loop.add_reader(sys.stdin.fileno(), read)
    await ended.wait()


def _log_to(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("botocore").setLevel(logging.WARNING)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="local.gateway")
    parser.add_argument("--functions", type=Path, required=True)
    parser.add_argument("--logs", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--warm", action="append", default=[])
    parser.add_argument("--most-processes", type=int, default=8)
    parser.add_argument("--soonest-s", type=float)
    parser.add_argument("--no-triggers", action="store_true")
    parser.add_argument("--no-reload", action="store_true")
    parser.add_argument("--base64", action="store_true")
    parser.add_argument("--follow-parent", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    main()
