"""Look for values that must be nowhere: in every sink of a running stack, in every form."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from agent_container.speech.client import SpeechClient
from local import state
from local.aws import Aws
from local.postgres import Postgres
from local.scan import sinks, sound
from local.scan.forms import Canary, Found, canary, find
from local.scan.sinks import Piece
from local.stack import database_directory
from local.state import State

__all__ = ["Canary", "Found", "Hit", "Scan", "canary", "scan"]

_PATIENCE_S = 120.0  # a search waits behind the calls that need the recogniser now


@dataclass(frozen=True, slots=True)
class Hit:
    """A value, by its number in the input, in a sink; `form` is how it lay there."""

    sink: str
    where: str
    canary: int | None
    form: str


@dataclass(frozen=True, slots=True)
class Scan:
    """What was found, and how much was looked at in each sink (pieces, bytes)."""

    hits: tuple[Hit, ...]
    looked_at: dict[str, tuple[int, int]]


async def scan(
    running: State,
    canaries: Iterable[Canary],
    *,
    listen: bool = True,
    on_sink: Callable[[str], None] = lambda sink: None,
) -> Scan:
    """Look through every sink; a place that can't be read counts as a hit."""
    wanted = tuple(canaries)
    hits: list[Hit] = []
    pieces: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    async for piece in _all_pieces(running, listen=listen):
        if piece.sink not in pieces:
            on_sink(piece.sink)
        pieces[piece.sink] += 1
        sizes[piece.sink] += len(piece.data)
        if piece.unread is not None:
            hits.append(Hit(piece.sink, piece.where, None, piece.unread))
        for found in sorted(find(piece.data, wanted), key=lambda f: (f.canary, f.form)):
            hits.append(Hit(piece.sink, piece.where, found.canary, found.form))
    return Scan(tuple(hits), {sink: (pieces[sink], sizes[sink]) for sink in pieces})


async def _all_pieces(running: State, *, listen: bool) -> AsyncIterator[Piece]:
    for piece in _written(running):
        yield piece
    if listen:
        async with SpeechClient(running.speech_socket, timeout_s=_PATIENCE_S) as speech:
            async for piece in sound.recordings(_server(running), speech):
                yield piece


def _written(running: State) -> Iterator[Piece]:
    server = _server(running)
    port = urlsplit(running.environment["AWS_ENDPOINT_URL"]).port
    aws = Aws(Path("unused"), port=port)
    yield from sinks.database_rows(server)
    yield from sinks.database_files(server)
    yield from sinks.objects(aws)
    yield from sinks.queues(aws)
    yield from sinks.stored_secrets(aws)
    yield from sinks.files(server)
    yield from sinks.desk(state.home() / "desk.sqlite")
    yield from sinks.process_tables(running)


def _server(running: State) -> Postgres:
    return Postgres(database_directory(), port=int(running.environment["DATABASE_PORT"]))
