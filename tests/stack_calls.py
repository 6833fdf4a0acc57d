"""Calls on a running stack, placed by the command a user types, and what is known of them after.

The callers' side sees what a user sees (the transcript, the object of --json). What came of a call
is read where it counts: from the database as the product's own role, from the desk over its API.
"""

import json
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

import httpx2
from psycopg import Connection
from psycopg.conninfo import make_conninfo
from psycopg.rows import dict_row

from local.aws import RECORDINGS_BUCKET, Aws
from local.recorded_callers import RECORDED_CALLERS
from local.scan.sound import Sound, decode
from tests.gateways import NO_TLS
from tests.integration.local.conftest import AURION, RunningStack, command_environment

PATIENCE_S = 300.0  # a busy machine fails on what is wrong, not on what is slow
_LINE = re.compile(r"^\d\d:\d\d (caller|  ?agent|      ) │ (.*)$")
_WAITED = re.compile(r" \d+\.\d\d s$")
_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Line:
    """What the transcript showed: words of the caller or the agent, or what the agent does."""

    who: str
    text: str


@dataclass(slots=True)
class PlacedCall:
    """One `aurion call` at work or over."""

    who: str
    number: str
    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def transcript(self) -> list[Line]:
        """What has been shown so far; lines that wrap don't happen on so wide a screen."""
        shown = (self.folder / "transcript").read_text(errors="replace").splitlines()
        found = [match for line in shown if (match := _LINE.match(line.rstrip()))]
        return [Line(m[1].strip() or "doing", _WAITED.sub("", m[2])) for m in found]

    @property
    def report(self) -> dict[str, Any]:
        """The object the command printed at its end."""
        text = (self.folder / "report").read_text()
        assert text, self.shown
        return json.loads(text)

    @property
    def shown(self) -> str:
        """Everything on the screen, for whoever has to find out what went wrong."""
        return f"{self.who}:\n" + (self.folder / "transcript").read_text(errors="replace")

    def end_in_order(self) -> None:
        """Wait for the command, which must have nothing to complain about."""
        status = self.process.wait(PATIENCE_S)
        assert status == 0, self.shown

    def kill(self) -> None:
        """End the agent as an out-of-memory kill does."""
        self.process.kill()
        self.process.wait()


@dataclass(slots=True)
class Phone:
    """Somebody with a telephone beside a running stack, and with a key to its rooms."""

    stack: RunningStack
    placed: list[PlacedCall] = field(default_factory=list)
    _database: Connection[dict[str, Any]] | None = None
    _asking: Lock = field(default_factory=Lock)
    _http: httpx2.Client = field(
        default_factory=lambda: httpx2.Client(trust_env=False, verify=NO_TLS, timeout=20)
    )

    def dial(
        self,
        who: str,
        *arguments: str,
        typed: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> PlacedCall:
        """Call from a number of one's own."""
        number = f"+3363900{next(_numbers):04d}"
        folder = Path(tempfile.mkdtemp(prefix=f"{who}-", dir=self.stack.home.parent))
        words = ["call", *arguments, "--from", number, "--json"]
        with (folder / "transcript").open("wb") as shown, (folder / "report").open("wb") as report:
            process = subprocess.Popen(
                [AURION, *words],
                stdin=subprocess.PIPE,
                stdout=report,
                stderr=shown,
                env={
                    **command_environment(self.stack.home),
                    "COLUMNS": "2000",
                    **(environment or {}),
                },
            )
        assert process.stdin is not None
        process.stdin.write("\n".join(typed).encode())
        process.stdin.close()
        call = PlacedCall(who, number, folder, process)
        self.placed.append(call)
        return call

    def play(self, who: str, files: Sequence[Path], *arguments: str, **options: Any) -> PlacedCall:
        """Call with recorded sentences."""
        audio = [word for file in files for word in ("--audio", str(file))]
        return self.dial(who, *audio, *arguments, **options)

    def hang_up_all(self) -> None:
        """End whatever still runs."""
        for call in self.placed:
            if call.process.poll() is None:
                call.kill()

    def close(self) -> None:
        """Hang up, and give up the lines to database and desk."""
        self.hang_up_all()
        self._http.close()
        if self._database is not None:
            self._database.close()

    def rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        """Ask the database as the product may: as aurion_app, for the one company."""
        with self._asking:  # callers' threads share one line, which those who wait ask often
            if self._database is None or self._database.closed:
                self._database = self._connect()
            with self._database.transaction():
                tenant_id = self.stack.state["tenant_id"]
                self._database.execute("SELECT set_config('app.tenant_id', %s, true)", (tenant_id,))
                found = self._database.execute(query, values)  # type: ignore[arg-type]
                return found.fetchall() if found.description else []

    def _connect(self) -> Connection[dict[str, Any]]:
        known = self.stack.state["environment"]
        where = make_conninfo(
            host=known["DATABASE_HOST"],
            port=known["DATABASE_PORT"],
            dbname=known["DATABASE_NAME"],
            user=known["DATABASE_ROLE"],
            password=known["DATABASE_PASSWORD"],
            sslmode=known["DATABASE_SSLMODE"],
        )
        return Connection[dict[str, Any]].connect(where, row_factory=dict_row)

    def call_row(self, call: PlacedCall) -> dict[str, Any] | None:
        """The row of a call; its number is nobody else's."""
        found = self.rows("SELECT * FROM aurion.calls WHERE calling_number = %s", call.number)
        assert len(found) < 2
        return found[0] if found else None

    def turns(self, call: PlacedCall) -> list[dict[str, Any]]:
        return self.rows(
            "SELECT t.* FROM aurion.turns t JOIN aurion.calls c ON c.id = t.call_id"
            " WHERE c.calling_number = %s ORDER BY t.seq",
            call.number,
        )

    def recording(self, call: PlacedCall) -> dict[str, Any] | None:
        found = self.rows(
            "SELECT r.* FROM aurion.recordings r JOIN aurion.calls c ON c.id = r.call_id"
            " WHERE c.calling_number = %s",
            call.number,
        )
        return found[0] if found else None

    def closings(self, call: PlacedCall) -> int:
        """How often a call was closed: each time leaves one message."""
        found = self.rows(
            "SELECT count(*) AS n FROM aurion.outbox_messages o"
            " JOIN aurion.calls c ON c.id = o.subject_id"
            " WHERE o.kind = 'call_closed' AND c.calling_number = %s",
            call.number,
        )
        return found[0]["n"]

    def tools_run(self, call: PlacedCall) -> list[str]:
        """The tools that were allowed, in order."""
        found = self.rows(
            "SELECT e.action FROM aurion.audit_events e JOIN aurion.calls c ON c.id = e.call_id"
            " WHERE e.decision = 'allowed' AND c.calling_number = %s ORDER BY e.at",
            call.number,
        )
        return [row["action"] for row in found]

    def sound(self, call: PlacedCall) -> Sound:
        """The stored recording, decoded."""
        recording = self.recording(call)
        assert recording is not None
        assert recording["object_key"], recording
        endpoint = self.stack.state["environment"]["AWS_ENDPOINT_URL"]
        aws = Aws(Path("unused"), port=urlsplit(endpoint).port)
        kept = aws.client("s3").get_object(Bucket=RECORDINGS_BUCKET, Key=recording["object_key"])
        return decode(kept["Body"].read())

    def ask_desk(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Ask the desk as the company's own people do: over its API."""
        known = self.stack.state
        answer = self._http.request(
            "GET" if body is None else "POST",
            f"{known['desk_url']}/api/{path}",
            headers={"Authorization": f"Bearer {known['desk_token']}"},
            json=body,
        )
        answer.raise_for_status()
        return answer.json()

    def tickets(self, key: str = "") -> list[dict[str, Any]]:
        """The desk's tickets whose key begins so."""
        everything = self.ask_desk("tickets")["tickets"]
        return [t for t in everything if (t["external_key"] or "").startswith(key)]

    def ticket(self, number: str) -> dict[str, Any]:
        return self.ask_desk(f"tickets/{number}")

    def requester(self, email: str) -> str:
        return self.ask_desk("requesters/search", {"email": email})["requesters"][0]["id"]

    def offers(self, call_id: str) -> list[dict[str, Any]]:
        """The transfers that were offered for a call."""
        offered = self.ask_desk("transfers")["transfers"]
        return [offer for offer in offered if offer["call_id"] == call_id]

    def answer_transfer(self, call: PlacedCall, within_s: float = PATIENCE_S) -> str:
        """Be the person on duty: wait for a call to be offered, take it, and give one's name."""
        person = next(p for p in self.ask_desk("people")["people"] if p["available"])

        def open_offers() -> list[dict[str, Any]]:
            row = self.call_row(call)
            offered = [] if row is None else self.offers(str(row["id"]))
            return [offer for offer in offered if offer["status"] == "offered"]

        def alive() -> bool:
            assert call.process.poll() is None, call.shown
            return True

        offer = until(open_offers, within_s, alive)[0]
        self.ask_desk(f"transfers/{offer['id']}/answer", {"person_id": person["id"]})
        return person["name"]

    def steal_time(self, call: PlacedCall) -> None:
        """Let the time pass after which a call without its agent is given up."""
        self.rows(
            "UPDATE aurion.calls SET lease_until = clock_timestamp() - interval '1 second'"
            " WHERE calling_number = %s AND status <> 'closed'",
            call.number,
        )

    def make_drafts_due(self) -> None:
        """Let the time pass for which drafts are held."""
        self.rows("UPDATE aurion.drafts SET next_attempt_at = clock_timestamp()")

    def drafts(self) -> int:
        return self.rows("SELECT count(*) AS n FROM aurion.drafts")[0]["n"]


def until[T](
    found: Callable[[], T], within_s: float = 60.0, alive: Callable[[], bool] = lambda: True
) -> T:
    """Ask until the answer is something."""
    deadline = time.monotonic() + within_s
    while not (answer := found()):
        assert time.monotonic() < deadline, f"nothing within {within_s:.0f} s"
        assert alive(), "the call has ended"
        time.sleep(0.1)
    return answer


def files_of(caller: str) -> Sequence[Path]:
    """A recorded caller's sentences."""
    return RECORDED_CALLERS[caller]
