"""Vendors who tell everything several times and in any order, and a database that crashes.

The vendors' own packages sign; the requests go over HTTP through the gateway to the real handlers.
What has to be in the database afterwards is worked out here from what was told, by rules written
down apart from the product's code.
"""

import base64
import hashlib
import itertools
import json
import os
import queue
import random
import signal
import threading
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlencode
from xml.etree import ElementTree

import httpx2
import psutil
import psycopg
from google.protobuf.json_format import MessageToJson
from livekit import api
from livekit.protocol.models import ParticipantInfo
from livekit.protocol.webhook import WebhookEvent
from twilio.request_validator import RequestValidator

from local.aws import Aws
from local.gateway.process import GatewayProcess, start_gateway
from local.postgres import Database, Postgres, free_port
from tests.gateways import NO_TLS

# Long enough for somebody to notice, however fast the machine.
_DOWN_S = 0.5
WORKERS = 8
_TRY_AGAIN_S = 0.2
_MOST_TRIES = 400
_TOKEN_HOLDS_S = 30
_DELAYED_S = 3.5
"""Longer than the first look after a caller waits in its queue."""

_ENDS = ("completed", "busy", "failed", "no-answer", "canceled")
_ORDER = {"initiated": 1, "ringing": 2, "in-progress": 3, **dict.fromkeys(_ENDS, 4)}


@dataclass(frozen=True, slots=True)
class Company:
    """A company with a number of its own."""

    tenant_id: uuid.UUID
    number: str
    fallback_number: str | None = None
    calls_enabled: bool = True


@dataclass(frozen=True, slots=True)
class Stand:
    """A durable database, local AWS and the gateway over the product's own functions."""

    aws: Aws
    postgres: Postgres
    database: Database
    gateway: GatewayProcess
    twilio: Mapping[str, str]
    livekit: Mapping[str, str]
    companies: Sequence[Company]
    logs: Path

    def rows(self, company: Company, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Ask the database as the product may: as aurion_app, for one company."""
        with psycopg.connect(self.database.dsn()) as conn:
            conn.execute("SELECT set_config('app.tenant_id', %s, true)", (str(company.tenant_id),))
            found = conn.execute(query, values)  # type: ignore[arg-type]
            return found.fetchall() if found.description else []

    def looked_after(self) -> set[str]:
        """Take every message of the queue by which callers are looked after; give their calls."""
        time.sleep(_DELAYED_S)
        sqs, url = self.aws.client("sqs"), _watch_queue(self.aws)
        calls: set[str] = set()
        while found := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            calls |= {json.loads(message["Body"])["call_id"] for message in found}
            entries = [
                {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"]}
                for number, message in enumerate(found)
            ]
            sqs.delete_message_batch(QueueUrl=url, Entries=entries)
        return calls

    def post(
        self,
        path: str,
        form: Mapping[str, str],
        *,
        token: str | None = None,
        url: str | None = None,
        body: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx2.Response:
        """Send a form as Twilio does; address, body and headers can be changed after signing."""
        signed_url = self.gateway.hooks_url + path
        signed, text = signed_by_twilio(signed_url, form, token or self.twilio["auth_token"])
        return _post(url or signed_url, {**signed, **(headers or {})}, body or text)

    def send(self, path: str, headers: Mapping[str, str], body: str) -> httpx2.Response:
        """Send a request as it is."""
        return _post(self.gateway.hooks_url + path, headers, body)


def _post(url: str, headers: Mapping[str, str], body: str) -> httpx2.Response:
    return httpx2.post(
        url, content=body, headers=dict(headers), trust_env=False, verify=NO_TLS, timeout=40
    )


@contextmanager
def stand(
    folder: Path,
    aws: Aws,
    *,
    most_processes: int,
    base64_always: bool = True,
    functions: Path | None = None,
) -> Iterator[Stand]:
    """Start everything for three companies; `aws` has been provisioned."""
    with Postgres(folder / "durable", durable=True) as server:
        database = server.prepare_database("webhooks")
        companies = [
            Company(uuid.uuid4(), "+33199000011"),
            Company(uuid.uuid4(), "+33199000012", fallback_number="+33199000099"),
            Company(uuid.uuid4(), "+33199000013", calls_enabled=False),
        ]
        for company in companies:
            _add(database, company)
        store = aws.client("secretsmanager")
        twilio, livekit = (
            json.loads(store.get_secret_value(SecretId=f"aurion/local/{name}")["SecretString"])
            for name in ("twilio", "livekit")
        )
        port = free_port()
        environment = {
            "PATH": os.environ["PATH"],
            **_settings_of(aws),
            **database.environment(),
            "ENVIRONMENT": "local",
            "HOOKS_URL": f"http://127.0.0.1:{port}/local",
        }
        logs = folder / "logs"
        gateway = start_gateway(
            logs,
            environment=environment,
            port=port,
            functions=functions,
            triggers=False,
            reload=False,  # one state of the code answers everything
            base64_always=base64_always,
            most_processes=most_processes,
        )
        try:
            yield Stand(aws, server, database, gateway, twilio, livekit, companies, logs)
        finally:
            gateway.stop()


def _settings_of(aws: Aws) -> dict[str, str]:
    kms = aws.client("kms")
    keys = {a["AliasName"]: a["TargetKeyId"] for a in kms.list_aliases()["Aliases"]}
    return {
        **aws.environment(),
        "CONTENT_KEY_ID": keys["alias/aurion-content"],
        "TWILIO_SECRET": "aurion/local/twilio",
        "LIVEKIT_SECRET": "aurion/local/livekit",
        "AGENT_NAME": "aurion",
        "ROOM_WATCH_QUEUE_URL": _watch_queue(aws),
    }


def _watch_queue(aws: Aws) -> str:
    url: str = aws.client("sqs").get_queue_url(QueueName="aurion-local-room-watch")["QueueUrl"]
    return url


def _add(database: Database, company: Company) -> None:
    with psycopg.connect(database.dsn()) as conn:
        conn.execute("SELECT set_config('app.tenant_id', %s, true)", (str(company.tenant_id),))
        conn.execute(
            "INSERT INTO aurion.tenants (tenant_id, name, fallback_number, calls_enabled)"
            " VALUES (%s, %s, %s, %s)",
            (company.tenant_id, "A company", company.fallback_number, company.calls_enabled),
        )
        conn.execute("SELECT aurion.assign_number(%s)", (company.number,))


def crash(server: Postgres) -> None:
    """Kill the database's processes, all of them at once, as nothing else than SIGKILL does."""
    assert server.pid is not None
    postmaster = psutil.Process(server.pid)
    family = [postmaster, *postmaster.children(recursive=True)]
    for process in family:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGKILL)
    psutil.wait_procs(family, timeout=20)


def signed_by_twilio(
    url: str, form: Mapping[str, str], auth_token: str
) -> tuple[dict[str, str], str]:
    """Sign a form with Twilio's own package; give headers and body."""
    signature = RequestValidator(auth_token).compute_signature(url, dict(form))
    headers = {
        "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8",
        "X-Twilio-Signature": signature,
    }
    return headers, urlencode(form)


def signed_by_livekit(event: WebhookEvent, keys: Mapping[str, str]) -> tuple[dict[str, str], str]:
    """Sign an event as LiveKit does, with its own package; give headers and body."""
    body = MessageToJson(event)
    digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
    token = api.AccessToken(keys["api_key"], keys["api_secret"])
    token = token.with_ttl(timedelta(minutes=5)).with_sha256(digest)
    headers = {"Content-Type": "application/webhook+json", "Authorization": token.to_jwt()}
    return headers, body


type Kind = Literal["question", "news", "room"]


@dataclass(frozen=True, slots=True, eq=False)
class Event:
    """Something a vendor tells; it happens only when what it comes `after` was answered.

    What happens in a room has its event's fields as its form; the room is the one that was dialled.
    """

    kind: Kind
    path: str
    form: Mapping[str, str]
    after: "Event | None" = None


@dataclass(slots=True)
class Story:
    """One caller's line as the telephone company sees it, and what must come of it."""

    company: Company
    line_id: str
    calling: str | None
    events: list[Event] = field(default_factory=list)
    statuses: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    told_of_room: set[str] = field(default_factory=set)
    offered: str | None = None
    chosen: str | None = None
    outcome: str | None = None


def tell(companies: Sequence[Company], *, calls: int, account: str, seed: int) -> list[Story]:
    """Make up calls: each a ringing line, what it is dialled to, and how its caller fares."""
    chance = random.Random(seed)
    return [_story(chance, companies[number % len(companies)], account) for number in range(calls)]


def _rooms(chance: random.Random, story: Story, voice: Event) -> None:
    """A caller who comes into the room, waits for an agent in vain, and leaves."""
    caller = {"identity": f"sip_{chance.randbytes(4).hex()}"}
    errand = json.dumps({"tenant": str(story.company.tenant_id), "resume": None, "tries": 0})
    for name, who in (
        ("room_started", None),
        ("participant_joined", caller),
        ("track_published", caller),
        ("participant_left", caller),
        ("room_finished", None),
    ):
        told = {"id": f"EV_{chance.randbytes(8).hex()}", "event": name, "metadata": errand}
        story.events.append(Event("room", "/livekit/webhook", told | (who or {}), voice))
        story.told_of_room.add(told["id"])
    # Somebody else's room on the same server.
    told = {"id": f"EV_{chance.randbytes(8).hex()}", "event": "room_started", "name": "lobby"}
    story.events.append(Event("room", "/livekit/webhook", told, voice))


def _story(chance: random.Random, company: Company, account: str) -> Story:
    calling = f"+336{chance.randrange(10**8):08d}" if chance.random() < 0.8 else None
    story = Story(company, f"CA{chance.randbytes(16).hex()}", calling)
    line = {
        "AccountSid": account,
        "CallSid": story.line_id,
        "From": calling or "anonymous",
        "To": company.number,
        "Direction": "inbound",
        "ApiVersion": "2010-04-01",
        "CallerCity": "Saint-Étienne & co",
    }
    news = ["ringing", "in-progress", chance.choice(_ENDS)]
    _report(story, story.line_id, news, line, "/twilio/status")
    voice = _ask(story, "/twilio/voice", {**line, "CallStatus": "ringing"}, None)
    if not company.calls_enabled:
        return story
    leg = {**line, "CallSid": f"CA{chance.randbytes(16).hex()}", "ParentCallSid": story.line_id}
    leg |= {"From": company.number, "To": "sip:call-token@sip.localhost"}
    news = ["initiated", "ringing", *chance.choice((["in-progress"], [])), chance.choice(_ENDS)]
    _report(story, leg["CallSid"], news, leg, f"/twilio/status?leg={company.tenant_id}")
    _rooms(chance, story, voice)
    _after_dial(chance, story, line, voice)
    return story


def _after_dial(chance: random.Random, story: Story, line: Mapping[str, str], voice: Event) -> None:
    """Nobody has answered in the room: what the caller is offered, and what they do."""
    gone = chance.random() < 0.2
    now = {**line, "CallStatus": "completed" if gone else "in-progress"}
    how = {"DialCallStatus": "no-answer", "DialCallSid": "CA00"}
    asked = _ask(story, "/twilio/status?step=dialled", {**now, **how}, voice)
    if gone:
        story.offered = "nothing"
        return
    story.offered = "callback" if story.calling else "regret"
    if story.company.fallback_number:
        story.offered = "fallback"
        answered = chance.random() < 0.5
        how = {"DialCallStatus": "completed" if answered else "no-answer"}
        asked = _ask(story, "/twilio/status?step=fallback", {**now, **how}, asked)
        if answered:
            story.outcome = "transferred"
            return
    if not story.calling:
        return
    key = chance.choice(("1", "", "5"))
    _ask(story, "/twilio/status?step=keypad", {**now, "Digits": key} if key else now, asked)
    story.chosen = "callback" if key == "1" else "nothing"
    story.outcome = "callback" if key == "1" else None


def _ask(story: Story, path: str, form: Mapping[str, str], after: Event | None) -> Event:
    event = Event("question", path, form, after)
    story.events.append(event)
    return event


def _report(
    story: Story, line_id: str, statuses: Sequence[str], form: Mapping[str, str], path: str
) -> None:
    for number, status in enumerate(statuses):
        told = {**form, "CallStatus": status, "SequenceNumber": str(number)}
        story.events.append(Event("news", path, told))
        story.statuses[line_id].add(status)


@dataclass(slots=True)
class Told:
    """What the vendors met while they told."""

    deliveries: int = 0
    refused: int = 0
    waited: int = 0
    crashes: int = 0
    answers: dict[Event, set[str]] = field(default_factory=lambda: defaultdict(set))
    first_at: dict[Event, float] = field(default_factory=dict)
    unanswered: list[Event] = field(default_factory=list)


def deliver(
    here: Stand,
    stories: Sequence[Story],
    *,
    seed: int,
    crash_after: Sequence[float],
    times: Sequence[int] = range(1, 10),
) -> Told:
    """Deliver every event some times over, shuffled, with 8 workers, while the database crashes.

    A delivery counts when it was answered with 2xx; one that was not is repeated, as vendors do.
    `crash_after` are the parts of all deliveries after which it happens.
    """
    chance = random.Random(seed)
    events = [event for story in stories for event in story.events]
    copies = [event for event in events for _ in range(chance.choice(times))]
    chance.shuffle(copies)
    work: queue.Queue[Event] = queue.Queue()
    for event in copies:
        work.put(event)
    told = Told(deliveries=len(copies))
    done, lock = itertools.count(1), threading.Lock()
    progress = threading.Semaphore(0)
    answered: set[Event] = set()

    def run() -> None:
        with httpx2.Client(trust_env=False, verify=NO_TLS, timeout=40) as client:
            tries = 0
            while True:
                try:
                    event = work.get_nowait()
                except queue.Empty:
                    return
                if event.after is not None and event.after not in answered:
                    tries += 1
                    if tries > _MOST_TRIES * len(copies):
                        raise AssertionError("the questions before were never answered")
                    work.put(event)  # nobody asks what comes next before the answer is known
                    time.sleep(0.001)
                    continue
                answer = _tell_once(here, client, event, told, lock)
                with lock:
                    answered.add(event)
                    told.answers[event].add(answer)
                    told.first_at.setdefault(event, time.monotonic())
                    next(done)
                progress.release()

    workers = [threading.Thread(target=run) for _ in range(WORKERS)]
    for worker in workers:
        worker.start()
    counted = 0
    for part in crash_after:
        while counted < part * len(copies):
            assert progress.acquire(timeout=120), "nothing is delivered any more"
            counted += 1
        crash(here.postgres)
        time.sleep(_DOWN_S)
        here.postgres.start()
        told.crashes += 1
    for worker in workers:
        worker.join()
    told.unanswered = [event for event in events if event not in answered]
    return told


def _tell_once(
    here: Stand, client: httpx2.Client, event: Event, told: Told, lock: threading.Lock
) -> str:
    """Tell an event until it is taken note of, following instructions to ask again."""
    url = here.gateway.hooks_url + event.path
    room = _room_of(told.answers[event.after]) if event.kind == "room" and event.after else ""
    for _ in range(_MOST_TRIES):
        if event.kind == "room":
            headers, body = signed_by_livekit(_room_event(event, room), here.livekit)
        else:
            headers, body = signed_by_twilio(url, event.form, here.twilio["auth_token"])
        try:
            answer = client.post(url, content=body, headers=headers)
        except httpx2.HTTPError:
            answer = None
        if answer is not None and answer.is_success:
            again = ask_again(answer.text) if event.kind == "question" else None
            if again is None:
                return answer.text
            with lock:
                told.waited += 1
            url = again
        else:
            with lock:
                told.refused += 1
        time.sleep(_TRY_AGAIN_S)
    raise AssertionError("an event was never taken note of")


def _room_event(event: Event, room: str) -> WebhookEvent:
    told = event.form
    made = WebhookEvent(event=told["event"], id=told["id"], created_at=int(time.time()))
    made.room.name = told.get("name", room)
    made.room.sid = f"RM_{told['id']}"
    made.room.metadata = told.get("metadata", "")
    if "identity" in told:
        made.participant.identity = told["identity"]
        made.participant.kind = ParticipantInfo.Kind.SIP
    return made


def _room_of(answers: Iterable[str]) -> str:
    sip = ElementTree.fromstring(next(iter(answers))).find("Dial/Sip")
    assert sip is not None
    assert sip.text
    return sip.text.removeprefix("sip:").partition("@")[0]


def ask_again(twiml: str) -> str | None:
    """Give the address at which Twilio is told to ask again after a pause, if it is."""
    verbs = list(ElementTree.fromstring(twiml))
    redirected = [verb for verb in verbs if verb.tag == "Redirect"]
    return redirected[0].text if redirected and verbs[0].tag == "Pause" else None


def judge(here: Stand, stories: Sequence[Story], told: Told) -> list[str]:
    """Hold the database against what was told: nothing lost, nothing doubled, nothing stale."""
    faults = [f"never answered: {event.path}" for event in told.unanswered]
    faults += [
        f"answered in {len(answers)} ways: {event.path}"
        for event, answers in told.answers.items()
        if len(answers) != 1
    ]
    for company in here.companies:
        theirs = [story for story in stories if story.company is company]
        for what, expected, query in (
            ("call", _calls(theirs), _CALLS),
            ("line", _lines(theirs), _LINES),
            ("inbox event", _inbox(theirs), _INBOX),
            ("message", _messages(theirs), _MESSAGES),
            ("draft", _drafts(theirs), _DRAFTS),
        ):
            faults += compare(what, expected, here.rows(company, query))
    faults += _left_alone(here, stories, told)
    counted = Counter(counted_calls(here.logs))
    faults += [f"doubled: {call} counted {n} times" for call, n in counted.items() if n > 1]
    return faults


def _left_alone(here: Stand, stories: Sequence[Story], told: Told) -> list[str]:
    """Say which callers came into a room and were not looked after, though their token held."""
    looked_after = here.looked_after()
    ids = {
        line_id: str(call_id)
        for company in here.companies
        for line_id, call_id in here.rows(
            company, "SELECT provider_call_id, id FROM aurion.calls WHERE status = 'ringing'"
        )
    }
    return [
        f"lost: nobody looks after the caller of {story.line_id}"
        for story in stories
        for event in story.events
        if event.form.get("event") == "participant_joined" and event.after
        # A token is good for 60 s: of one that comes later nobody has to be told.
        if told.first_at[event] - told.first_at[event.after] < _TOKEN_HOLDS_S
        if story.line_id in ids and ids[story.line_id] not in looked_after
    ]


def counted_calls(logs: Path) -> list[str]:
    """Read which calls the functions have counted as not put through, a call as often as it was."""
    lines = (logs / "functions" / "twilio_status.log").read_text().splitlines()
    told = [json.loads(line) for line in lines if '"CallsNotPutThrough"' in line]
    return [line["call"] for line in told if line.get("call")]


def compare(
    what: str, expected: Sequence[tuple[Any, ...]], found: Sequence[tuple[Any, ...]]
) -> list[str]:
    """Say what is lost, doubled or stale; a row's first value is its key."""
    by_key = {row[0]: row for row in expected}
    counts = Counter(row[0] for row in found)
    faults = [f"lost: {what} {key}" for key in by_key if key not in counts]
    faults += [f"doubled: {what} {key} ({n})" for key, n in counts.items() if n > 1]
    for row in found:
        if row[0] not in by_key:
            faults.append(f"out of nowhere: {what} {row[0]}")
        elif row != by_key[row[0]]:
            faults.append(f"stale: {what} {row} is not {by_key[row[0]]}")
    return faults


_CALLS = """
SELECT provider_call_id, dialled_number, calling_number, channel, status, outcome, epoch
FROM aurion.calls
"""
_LINES = "SELECT line_id, status, version, offered, chosen FROM aurion.phone_lines"
_INBOX = "SELECT event_id, provider FROM aurion.inbox_events"
_MESSAGES = """
SELECT c.provider_call_id, m.kind FROM aurion.outbox_messages m
JOIN aurion.calls c ON c.id = m.subject_id
"""
_DRAFTS = """
SELECT c.provider_call_id, d.kind FROM aurion.drafts d JOIN aurion.calls c ON c.id = d.call_id
"""


def _calls(stories: Sequence[Story]) -> list[tuple[Any, ...]]:
    return [
        (
            *(s.line_id, s.company.number, s.calling, "phone"),
            *("closed" if s.outcome else "ringing", s.outcome, 0),
        )
        for s in stories
        if s.company.calls_enabled
    ]


def _lines(stories: Sequence[Story]) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    for story in stories:
        for line_id, statuses in story.statuses.items():
            last = max(statuses, key=lambda status: _ORDER[status])
            own = line_id == story.line_id
            offers = (story.offered, story.chosen) if own else (None, None)
            rows.append((line_id, last, _ORDER[last], *offers))
    return rows


def _inbox(stories: Sequence[Story]) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    for story in stories:
        rows += [
            (f"{line_id}:{status}", "twilio")
            for line_id, statuses in story.statuses.items()
            for status in statuses
        ]
        rows += [(event_id, "livekit") for event_id in story.told_of_room]
        asked = {event.path.rpartition("=")[2] for event in story.events if event.after}
        rows += [(f"{story.line_id}:{step}", "twilio") for step in asked & {"dialled", "keypad"}]
        rows.append((f"{story.line_id}:voice", "twilio"))
    return rows


def _messages(stories: Sequence[Story]) -> list[tuple[Any, ...]]:
    return [(story.line_id, "call_closed") for story in stories if story.outcome]


def _drafts(stories: Sequence[Story]) -> list[tuple[Any, ...]]:
    return [(story.line_id, "callback") for story in stories if story.outcome == "callback"]


def ring_at_once(here: Stand, *, company: Company, times: int) -> tuple[str, set[str], int]:
    """Ask about one ringing call many times at once while the database crashes.

    Returns the line's id, the rooms it was told to dial, and how many were told to ask again.
    """
    line_id = f"CA{random.randbytes(16).hex()}"
    form = {
        "AccountSid": here.twilio["account_sid"],
        "CallSid": line_id,
        "From": "+33612345678",
        "To": company.number,
        "CallStatus": "ringing",
    }
    event = Event("question", "/twilio/voice", form)
    told, lock = Told(), threading.Lock()
    together = threading.Barrier(times + 1)
    rooms: set[str] = set()

    def ask() -> None:
        with httpx2.Client(trust_env=False, verify=NO_TLS, timeout=40) as client:
            together.wait()
            answer = _tell_once(here, client, event, told, lock)
            sip = ElementTree.fromstring(answer).find("Dial/Sip")
            assert sip is not None
            with lock:
                rooms.add(sip.text or "")

    askers = [threading.Thread(target=ask) for _ in range(times)]
    for asker in askers:
        asker.start()
    together.wait()
    crash(here.postgres)
    time.sleep(_DOWN_S)
    here.postgres.start()
    for asker in askers:
        asker.join()
    return line_id, rooms, told.waited + told.refused
