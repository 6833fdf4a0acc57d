"""The desk as a web application, and the loop that serves it on loopback."""

import asyncio
import contextlib
import socket
import sys
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from local.desk import api, articles, faults, page, problems, seed, store

HERE = Path(__file__).parent
LOOPBACK = "127.0.0.1"


def make_app(data: Path, token: str, *, allow_faults: bool = False) -> Starlette:
    """Make the desk on its file, seeded when the file is new."""
    opened = store.open_store(data)
    with opened.transaction() as conn:
        articles.load(conn)
        seed.plant(conn)
    switches = faults.Faults() if allow_faults else None
    # Only names of this machine: a page of the internet can't reach the desk by a name of its own.
    middleware = [
        Middleware(TrustedHostMiddleware, allowed_hosts=[LOOPBACK, "localhost"]),
    ]
    if switches is not None:
        middleware.insert(0, Middleware(faults.FaultMiddleware, faults=switches))
    app = Starlette(
        routes=[
            *api.routes(),
            Route("/faults", api.guarded(faults.change), methods=["POST", "DELETE"]),
            Mount("/static", StaticFiles(directory=HERE / "static")),
            *page.routes(),
        ],
        middleware=middleware,
        exception_handlers={
            problems.Problem: _answer_problem,
            HTTPException: _answer_http_exception,
        },
    )
    app.state.store = opened
    app.state.token = token
    app.state.faults = switches
    return app


async def serve(app: Starlette, *, port: int, follow_parent: bool = False) -> None:
    """Serve on loopback until told to stop; says where and `ready` on standard output."""
    listening = socket.create_server((LOOPBACK, port), backlog=128)
    # An access log would hold addresses; errors are told without the request.
    config = uvicorn.Config(
        app, access_log=False, log_level="warning", timeout_graceful_shutdown=2, lifespan="off"
    )
    server = _Server(config)
    watch = asyncio.create_task(_watch_parent(server)) if follow_parent else None
    await server.serve(sockets=[listening])
    if watch is not None:
        watch.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watch


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then tell whoever waits for it."""
        await super().startup(sockets)
        if self.started and sockets:
            port = sockets[0].getsockname()[1]
            sys.stdout.write(f"http://{LOOPBACK}:{port}\nready\n")
            sys.stdout.flush()


async def _watch_parent(server: uvicorn.Server) -> None:
    # The parent holds the other end of standard input: it closes when the parent is gone.
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()
    server.should_exit = True


async def _answer_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, problems.Problem)
    if request.url.path.startswith(("/api/", "/faults")):
        return problems.answer(error)
    return page.refuse(request, error.status, error.detail)


async def _answer_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    problem = problems.Problem(error.status_code, "There is nothing here.", headers=error.headers)
    return await _answer_problem(request, problem)
