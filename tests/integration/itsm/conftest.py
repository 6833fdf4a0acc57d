"""One running peer per vendor, and a connector to it."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from aurion import itsm

from tests.integration.itsm.peers import VENDORS, Peer, Vendor


@pytest.fixture(scope="module", params=VENDORS, ids=lambda vendor: vendor.__name__)
def running_peer(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Peer]:
    vendor: Vendor = request.param
    with vendor(tmp_path_factory.mktemp("peer")) as peer:
        yield peer


@pytest.fixture
def peer(running_peer: Peer) -> Iterator[Peer]:
    running_peer.clear()
    yield running_peer
    running_peer.clear()


@pytest.fixture(params=VENDORS, ids=lambda vendor: vendor.__name__)
def own_peer(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Peer]:
    """A peer of the test's own, to be killed."""
    vendor: Vendor = request.param
    with vendor(tmp_path) as peer:
        yield peer


@pytest.fixture
async def desk(peer: Peer) -> AsyncIterator[itsm.Connector]:
    connector = itsm.connect(peer.kind, base_url=peer.base_url, secret=peer.secret)
    yield connector
    await connector.aclose()
