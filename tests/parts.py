"""The product's parts for a program of the tests' own: rows, local AWS, a desk, speech."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from aurion import database
from aurion.settings import settings

from agent_container.speech.process import start_speech
from local.aws import Aws
from local.desk.process import start_desk
from local.postgres import Postgres
from tests.speech_fixtures import CACHE
from tests.typed_calls import Company, make_company


@dataclass(frozen=True, slots=True)
class Parts:
    """Two companies, each with a desk of its own, and where the speech server listens."""

    folder: Path
    company: Company
    other: Company
    speech_socket: Path


@contextmanager
def run_parts(*, speech: bool) -> Iterator[Parts]:
    """Start the parts, point this process at them, and stop and forget them afterwards."""
    before = dict(os.environ)
    with ExitStack() as running, tempfile.TemporaryDirectory(prefix="aurion-proof-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # as root the database runs under an account that must pass
        running.callback(_restore, before)
        aws = Aws(folder / "aws.log").start()
        running.callback(aws.stop)
        server = running.enter_context(Postgres(folder / "postgres"))
        os.environ.update({**aws.provision(), **server.prepare_database("aurion").environment()})
        settings.cache_clear()
        running.callback(database.close_pools)
        companies: list[Company] = []
        for number in range(2):
            desk = start_desk(folder / f"desk{number}.sqlite", f"token-{number}")
            running.callback(desk.stop)
            companies.append(make_company(desk))
        socket = folder / "speech.sock"
        if speech:
            running.callback(start_speech(socket, CACHE).stop)
        yield Parts(folder, companies[0], companies[1], socket)


def _restore(environment: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    settings.cache_clear()
