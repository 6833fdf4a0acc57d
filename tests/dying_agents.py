"""Agents and a database that die all the time, and what is left of what they had told.

The agents are processes that write turns, open tickets in a real desk and end calls, as fast as
they can (`tests.doomed talk`). They are killed at random moments, the database too; sweepers run
all the while. Whatever an agent told after a commit is held against what the database and the desk
hold in the end.
"""

import asyncio
import contextlib
import json
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from aurion import sweeps
from aurion.database import close_pools
from aurion.errors import AurionError
from aurion.itsm.demo_desk import DemoDesk
from aurion.settings import settings

from local.aws import Aws
from local.desk.process import DeskProcess, start_desk
from local.postgres import Database, Postgres
from tests.factories import Tenant, make_tenant
from tests.integration.aurion.desk_calls import DESCRIPTION

CHECKOUT = Path(__file__).parents[1]
_LONGEST_LIFE_S = 90.0


@dataclass(slots=True)
class Told:
    """What the agents told: turns by call and number, wishes by key, calls that began and ended."""

    turns: dict[tuple[str, int], str] = field(default_factory=dict)
    wishes: dict[str, str | None] = field(default_factory=dict)
    started: set[str] = field(default_factory=set)
    closed: set[str] = field(default_factory=set)

    def take(self, line: str) -> None:
        """Note one line of an agent."""
        what = json.loads(line)
        if "seq" in what:
            self.turns[what["call"], what["seq"]] = what["text"]
        elif "promised" in what:
            self.wishes[what["promised"]] = what["number"]
        elif "started" in what:
            self.started.add(what["started"])
        else:
            self.closed.add(what["closed"])


@dataclass(frozen=True, slots=True)
class Found:
    """How many agents and databases died, what had been told, and every fault found."""

    kills: int
    crashes: int
    turns: int
    wishes: int
    waited: int
    calls: int
    interrupted: int
    faults: list[str]
    seconds: float


@dataclass(slots=True)
class World:
    """Everything agents stand on, none of it shared with other tests."""

    postgres: Postgres
    database: Database
    desk: DeskProcess
    desk_file: Path
    tenant: Tenant


@contextmanager
def world() -> Iterator[World]:
    """Make a durable database, local AWS, a desk and a company, and set this process upon them."""
    before = dict(os.environ)
    with contextlib.ExitStack() as end, tempfile.TemporaryDirectory() as folder:
        directory = Path(folder)
        directory.chmod(0o711)
        postgres = Postgres(directory / "postgres", durable=True).start()
        end.callback(postgres.remove)
        database = postgres.prepare_database("dying")
        aws = Aws(directory / "aws.log").start()
        end.callback(aws.stop)
        os.environ.update(database.environment() | aws.provision())
        settings.cache_clear()
        end.callback(_restore, before)
        desk = start_desk(directory / "desk.sqlite", uuid.uuid4().hex)
        end.callback(desk.stop)
        yield World(postgres, database, desk, directory / "desk.sqlite", make_tenant())


def _restore(environment: dict[str, str]) -> None:
    close_pools()
    os.environ.clear()
    os.environ.update(environment)
    settings.cache_clear()


def let_die(*, kills: int, crashes: int, seed: int, at_once: int = 2) -> Found:
    """Kill that many agents and crash the database that often; judge what is left."""
    chance = random.Random(seed)
    began = time.monotonic()
    told = Told()
    with world() as here:
        over = threading.Event()
        sweepers = [threading.Thread(target=_sweep, args=(here, over)) for _ in range(2)]
        for sweeper in sweepers:
            sweeper.start()
        try:
            crash_at = sorted(chance.sample(range(kills), crashes))
            for first in range(0, kills, at_once):
                count = min(at_once, kills - first)
                _one_round(
                    here,
                    told,
                    chance,
                    count,
                    crash=any(first <= at < first + count for at in crash_at),
                )
        finally:
            over.set()
            for sweeper in sweepers:
                sweeper.join()
        waited = _settle(here)
        faults, calls, interrupted = _judge(here, told)
    return Found(
        kills=kills,
        crashes=crashes,
        turns=len(told.turns),
        wishes=len(told.wishes),
        waited=waited,
        calls=calls,
        interrupted=interrupted,
        faults=faults,
        seconds=time.monotonic() - began,
    )


def _one_round(here: World, told: Told, chance: random.Random, count: int, *, crash: bool) -> None:
    agents = [_start_agent(here, chance.randrange(2**32)) for _ in range(count)]
    # By words, not by time alone: a busy machine's agents live as long as an idle one's.
    watchers = [
        threading.Thread(
            target=_watch, args=(agent, told, chance.randint(1, 30), chance.uniform(0.0, 0.15))
        )
        for agent in agents
    ]
    before = len(told.turns)
    for watcher in watchers:
        watcher.start()
    if crash:
        moment = before + chance.randint(1, 10)
        while len(told.turns) < moment and any(agent.poll() is None for agent in agents):
            time.sleep(0.005)
        here.postgres.crash()
        time.sleep(chance.uniform(0.0, 0.5))
        here.postgres.start()
    for watcher in watchers:
        watcher.join()


def _watch(agent: subprocess.Popen[str], told: Told, words: int, pause_s: float) -> None:
    """Note what an agent tells and kill it a moment after so many words; then note the rest."""
    assert agent.stdout is not None
    end = threading.Timer(_LONGEST_LIFE_S, agent.kill)
    end.start()
    for number, line in enumerate(agent.stdout, start=1):
        told.take(line)
        if number == words:
            threading.Timer(pause_s, agent.kill).start()
    agent.wait()
    end.cancel()
    agent.stdout.close()


def _start_agent(here: World, seed: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "tests.doomed", "talk", str(here.tenant.tenant_id)),
            *(here.desk.base_url, here.desk.token, str(seed)),
        ],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # what the database's crash does to it is expected
        text=True,
    )


def _sweep(here: World, over: threading.Event) -> None:
    while not over.wait(0.1):
        with contextlib.suppress(AurionError):
            asyncio.run(_tend(here))


async def _tend(here: World) -> sweeps.Sweep:
    desk = DemoDesk(here.desk.base_url, here.desk.token)
    try:
        return await sweeps.tend(here.tenant.tenant_id, desk)
    finally:
        await desk.aclose()


def _settle(here: World) -> int:
    """Let leases and holds run out and sweep until nothing is left; how many drafts had waited."""
    waited = 0
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with _look(here) as conn:
            conn.execute("UPDATE aurion.drafts SET next_attempt_at = now()")
            conn.execute("UPDATE aurion.outbox_messages SET next_attempt_at = now()")
            waited = max(waited, conn.execute("SELECT FROM aurion.drafts").rowcount)
        with contextlib.suppress(AurionError):
            asyncio.run(_tend(here))
        with _look(here) as conn:
            left = conn.execute(
                "SELECT (SELECT count(*) FROM aurion.drafts)"
                " + (SELECT count(*) FROM aurion.calls WHERE status <> 'closed')"
                " + (SELECT count(*) FROM aurion.outbox_messages WHERE sent_at IS NULL)"
            ).fetchone()
        if left == (0,):
            break
        time.sleep(0.2)
    close_pools()
    return waited


@contextmanager
def _look(here: World) -> Iterator[psycopg.Connection]:
    with psycopg.connect(here.postgres.dsn(here.database.name), autocommit=True) as conn:
        yield conn


def _judge(here: World, told: Told) -> tuple[list[str], int, int]:
    with _look(here) as conn:
        rows = {
            str(row[0]): row[1:]
            for row in conn.execute(
                "SELECT id, status, outcome, ended_at IS NOT NULL FROM aurion.calls"
            ).fetchall()
        }
        written = {
            (str(call), seq): text
            for call, seq, text in conn.execute(
                "SELECT call_id, seq, text FROM aurion.turns"
            ).fetchall()
        }
        messages = Counter(
            str(row[0])
            for row in conn.execute("SELECT subject_id FROM aurion.outbox_messages").fetchall()
        )
        references = {
            row[0]: row[1]
            for row in conn.execute(
                "SELECT idempotency_key, number FROM aurion.ticket_references"
            ).fetchall()
        }
        left = conn.execute("SELECT count(*) FROM aurion.drafts").fetchone()
    faults = [
        f"turn {key} was told and is not there"
        for key, text in told.turns.items()
        if written.get(key) != text
    ]
    numbers: dict[str, list[int]] = {}
    for call, seq in sorted(written):
        numbers.setdefault(call, []).append(seq)
    faults += [
        f"call {call} has turns {seqs}"
        for call, seqs in numbers.items()
        if seqs != list(range(1, len(seqs) + 1))
    ]
    faults += [f"call {call} was told of and is not there" for call in told.started - rows.keys()]
    faults += [
        f"call {call} is left {row}"
        for call, row in rows.items()
        if row[0] != "closed" or row[1] not in ("resolved", "interrupted")
    ]
    faults += [
        f"call {call} was told to have ended and is {rows.get(call)}"
        for call in told.closed
        if rows.get(call, ("",))[1:2] != ("resolved",)
    ]
    faults += [f"call {call} has {messages[call]} messages" for call in rows if messages[call] != 1]
    faults += [f"{left[0]} drafts are left"] if left and left[0] else []
    return (
        faults + _judge_desk(here, told, rows, references),
        len(rows),
        sum(row[1] == "interrupted" for row in rows.values()),
    )


def _judge_desk(
    here: World, told: Told, rows: dict[str, tuple[Any, ...]], references: dict[str, str]
) -> list[str]:
    with contextlib.closing(sqlite3.connect(f"file:{here.desk_file}?mode=ro", uri=True)) as desk:
        tickets = desk.execute(
            "SELECT external_key, summary, description, requester_id, kind FROM tickets"
            " WHERE external_key IS NOT NULL"
        ).fetchall()
    keys = Counter(key for key, *_ in tickets)
    faults = [f"wish {key} has {keys[key]} tickets" for key in told.wishes if keys[key] != 1]
    faults += [
        f"number {number} was told of {key}, which has {references.get(key)}"
        for key, number in told.wishes.items()
        if number is not None and references.get(key) != number
    ]
    faults += [
        f"summary {summary!r} stands {count} times"
        for summary, count in Counter(
            summary for key, summary, *_ in tickets if key.startswith("open:")
        ).items()
        if count > 1
    ]
    faults += [
        f"ticket {key} says {description!r} for {requester}"
        for key, _, description, requester, kind in tickets
        if kind != "callback" and (description, requester) != (DESCRIPTION, "R-2001")
    ]
    faults += (
        [f"{len(keys.keys() ^ references.keys())} tickets and references differ"]
        if keys.keys() != references.keys()
        else []
    )
    callbacks = {
        key.removeprefix("callback:"): count
        for key, count in keys.items()
        if key.startswith("callback:")
    }
    interrupted = {call for call, row in rows.items() if row[1] == "interrupted"}
    faults += [
        f"call {call} has {callbacks.get(call, 0)} call-backs"
        for call in callbacks.keys() | interrupted
        if callbacks.get(call, 0) != (call in interrupted)
    ]
    return faults
