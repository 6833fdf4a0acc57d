"""The ticket systems the contract is proved against: real processes, reached over the wire.

A peer is a vendor's system that a test may also trouble, kill and look into behind the connector's
back. Each holds the people, assets and articles of `local/desk/seed.toml`.
"""

import contextlib
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

import httpx2

from local.desk.process import DeskProcess, start_desk
from tests.gateways import NO_TLS


class Peer(Protocol):
    """A vendor's system under the test's hand."""

    kind: str
    secret: str

    @property
    def base_url(self) -> str: ...
    def trouble(self, kind: str, **details: Any) -> None: ...
    def clear(self) -> None: ...
    def kill(self) -> None: ...
    def restart(self) -> None: ...
    def log(self) -> str: ...
    def tickets_with(self, key: str) -> list[dict[str, Any]]: ...
    def comments_of(self, number: str) -> list[dict[str, Any]]: ...
    def offers_of(self, call_id: str) -> list[dict[str, Any]]: ...
    def answer(self, offer_id: str) -> httpx2.Response: ...
    def set_duty(self, available: bool) -> None: ...


Vendor = Callable[[Path], AbstractContextManager[Peer]]


class DemoDeskPeer:
    """The demo desk, in a process of its own."""

    kind = "demo_desk"

    def __init__(self, data: Path) -> None:
        self.secret = uuid.uuid4().hex
        self._data = data
        self._desk: DeskProcess = start_desk(data, self.secret, faults=True)

    @property
    def base_url(self) -> str:
        return self._desk.base_url

    def trouble(self, kind: str, **details: Any) -> None:
        self._desk.fault(kind, **details)

    def clear(self) -> None:
        self._desk.clear_faults()

    def kill(self) -> None:
        self._desk.kill()

    def stop(self) -> None:
        self._desk.stop()

    def restart(self) -> None:
        self._desk = start_desk(self._data, self.secret, self._desk.port, faults=True)

    def log(self) -> str:
        return self._data.with_suffix(".log").read_text()

    def tickets_with(self, key: str) -> list[dict[str, Any]]:
        every = self._get("/api/tickets")["tickets"]
        return [ticket for ticket in every if ticket["external_key"] == key]

    def comments_of(self, number: str) -> list[dict[str, Any]]:
        return self._get(f"/api/tickets/{number}")["comments"]

    def offers_of(self, call_id: str) -> list[dict[str, Any]]:
        every = self._get("/api/transfers")["transfers"]
        return [offer for offer in every if offer["call_id"] == call_id]

    def answer(self, offer_id: str) -> httpx2.Response:
        return self._send("POST", f"/api/transfers/{offer_id}/answer", {"person_id": "P-1"})

    def set_duty(self, available: bool) -> None:
        for person in ("P-1", "P-2"):
            answer = self._send("PATCH", f"/api/people/{person}", {"available": available})
            answer.raise_for_status()

    def _get(self, path: str) -> dict[str, Any]:
        answer = self._send("GET", path, None)
        answer.raise_for_status()
        return answer.json()

    def _send(self, method: str, path: str, body: dict[str, Any] | None) -> httpx2.Response:
        with httpx2.Client(base_url=self.base_url, trust_env=False, verify=NO_TLS) as client:
            headers = {"Authorization": f"Bearer {self.secret}"}
            return client.request(method, path, json=body, headers=headers)


@contextmanager
def demo_desk(directory: Path) -> Iterator[Peer]:
    """Run a demo desk."""
    peer = DemoDeskPeer(directory / "desk.sqlite")
    try:
        yield peer
    finally:
        with contextlib.suppress(ProcessLookupError):
            peer.stop()


VENDORS: list[Vendor] = [demo_desk]
