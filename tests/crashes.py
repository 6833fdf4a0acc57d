"""Agents killed in the middle of calls, and what is left of those calls once they are swept.

An agent is a real `aurion call` process on a stack whose database is durable; the sweeper is the
one that `aurion up` runs. Only the waiting is shortened: leases and holds are made to run out.
"""

import os
import random
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import psutil

from local.scan.sound import broken_intervals
from tests.stack_calls import Line, Phone, PlacedCall, files_of, until

SENTENCES = (
    "Hi, this is Alice Martin.",
    "My badge number is four seven one one two nine.",
    "My VPN keeps disconnecting since this morning.",
    "I already restarted the laptop, but it did not help.",
    "Yes, please open a ticket.",
    "No, that is all. Thank you, goodbye.",
)
# A typed call's moment to be killed, in seconds after the agent has it; some have ended by then.
_TYPED_S = 16.0
_SWEPT_WITHIN_S = 90.0


@dataclass(slots=True)
class Killing:
    """One agent, when it was killed (s after it had the call), and what was found afterwards."""

    call: PlacedCall
    after_s: float
    spoken: bool
    was_open: bool = False
    acknowledged: int = 0
    recording: str = "none"
    faults: list[str] = field(default_factory=list)


def kill_agents(
    phone: Phone, *, typed: int, spoken: int, spoken_s: float, seed: int
) -> list[Killing]:
    """Kill agents in calls that run at once, at random moments, and judge what is left of each.

    Spoken calls are killed within `spoken_s` of their answer.
    """
    chance = random.Random(seed)
    kills: list[Killing] = []
    for _ in range(spoken):
        call = phone.play("killed", files_of("alice"))
        kills.append(Killing(call, chance.uniform(0, spoken_s), spoken=True))
    for _ in range(typed):
        call = phone.dial("killed", "--text", typed=SENTENCES)
        kills.append(Killing(call, chance.uniform(0, _TYPED_S), spoken=False))
    try:
        _kill_each_at_its_moment(phone, kills)
    finally:
        for kill in kills:
            kill.call.kill()
    _let_time_pass(phone, kills)
    for kill in kills:
        _judge(phone, kill)
    known = {f"callback:{row['id']}" for row in phone.rows("SELECT id FROM aurion.calls")}
    strays = {ticket["external_key"] for ticket in phone.tickets("callback:")} - known
    if strays:
        kills[0].faults.append(f"call-back tickets of no call: {strays}")
    return kills


def stop_desk_while_confirming(phone: Phone, *, after_s: float) -> list[str]:
    """Stop the desk as a ticket is confirmed, kill the agent, go on; return what is wrong."""
    desk = psutil.Process(
        next(p["pid"] for p in phone.stack.state["processes"] if p["name"] == "desk")
    )
    call = phone.dial("stopped", "--text", typed=SENTENCES)
    try:
        until(lambda: _shows(call, "agent", "Then let's try the next thing"), 120)
        desk.send_signal(signal.SIGSTOP)
        until(phone.drafts, 60)
        time.sleep(after_s)
        call.kill()
        row = phone.call_row(call)
        assert row is not None
        # An agent that has waited long enough kept the ticket and said goodbye before the kill.
        callbacks = 0 if row["status"] == "closed" else 1
        phone.steal_time(call)
        until(lambda: (found := phone.call_row(call)) and found["status"] == "closed", 60)
        kept = phone.drafts()
    finally:
        desk.send_signal(signal.SIGCONT)
        call.kill()
    found: list[str] = []
    if kept != 1 + callbacks:
        found.append(f"{kept} drafts wait, not a ticket and {callbacks} call-back")
    _deliver_drafts(phone)
    opened = phone.tickets(f"open:{row['id']}")
    if len(opened) != 1:
        found.append(f"{len(opened)} tickets: {opened}")
    found += [
        f"a ticket that says {ticket['summary']!r}, {ticket['description']!r}"
        for ticket in opened
        if "VPN" not in ticket["summary"] or "estart" not in ticket["description"]
    ]
    if len(phone.tickets(f"callback:{row['id']}")) != callbacks:
        found.append(f"not {callbacks} call-back")
    references = phone.rows(
        "SELECT kind, number FROM aurion.ticket_references WHERE call_id = %s", row["id"]
    )
    if sorted(reference["kind"] for reference in references) != ["callback"] * callbacks + [
        "opened"
    ]:
        found.append(f"references {references}")
    return found


def _kill_each_at_its_moment(phone: Phone, kills: list[Killing]) -> None:
    begun: dict[str, float] = {}
    deadline = time.monotonic() + 240
    waiting = list(kills)
    while waiting and time.monotonic() < deadline:
        for kill in list(waiting):
            call = kill.call
            if call.number not in begun:
                row = phone.call_row(call)
                if row is not None and row["status"] != "ringing":
                    begun[call.number] = time.monotonic()
            elif time.monotonic() - begun[call.number] >= kill.after_s:
                call.kill()
                row = phone.call_row(call)  # at once: the sweeper won't wait for us
                kill.was_open = row is not None and row["status"] != "closed"
                waiting.remove(kill)
        time.sleep(0.05)
    assert not waiting, "an agent never had its call"


def _let_time_pass(phone: Phone, kills: list[Killing]) -> None:
    """Let leases and holds run out, and wait until the sweeper has done its rounds."""
    for kill in kills:
        phone.steal_time(kill.call)
    for working in (phone.stack.home / "recordings").glob("*/*.tracks"):
        long_ago = working.stat().st_mtime - 600
        os.utime(working, (long_ago, long_ago))
    _deliver_drafts(phone)

    def swept() -> bool:
        rows = [phone.call_row(kill.call) for kill in kills]
        recordings = [phone.recording(kill.call) for kill in kills]
        return all(row is None or row["status"] == "closed" for row in rows) and not any(
            recording is not None and recording["status"] == "recording" for recording in recordings
        )

    until(swept, _SWEPT_WITHIN_S)
    _deliver_drafts(phone)


def _deliver_drafts(phone: Phone) -> None:
    def none_left() -> bool:
        phone.make_drafts_due()
        return phone.drafts() == 0

    until(none_left, _SWEPT_WITHIN_S)


def _judge(phone: Phone, kill: Killing) -> None:
    call, faults = kill.call, kill.faults
    row = phone.call_row(call)
    if row is None:
        return
    turns = phone.turns(call)
    if [turn["seq"] for turn in turns] != list(range(1, len(turns) + 1)):
        faults.append(f"turns {[turn['seq'] for turn in turns]}")
    told = acknowledged(call.transcript)
    kill.acknowledged = len(told)
    written = [turn["text"] for turn in turns if turn["speaker"] == "caller"]
    if written[: len(told)] != told:
        faults.append(f"{len(told)} turns were acknowledged: {told}, kept are {written}")
    if row["status"] != "closed" or phone.closings(call) != 1:
        faults.append(f"the call is {row['status']}, closed {phone.closings(call)} times")
    if kill.was_open != (row["outcome"] == "interrupted"):
        faults.append(f"{'open' if kill.was_open else 'closed'} at the kill, now {row['outcome']}")
    callbacks = phone.tickets(f"callback:{row['id']}")
    if len(callbacks) != kill.was_open:
        faults.append(f"{len(callbacks)} call-backs, open at the kill: {kill.was_open}")
    opened = phone.tickets(f"open:{row['id']}")
    promised = _shows(call, "agent", "your ticket is open")
    if len(opened) > 1 or (promised and not opened):
        faults.append(f"{len(opened)} tickets, promised: {promised}")
    _judge_recording(phone, kill)


def _judge_recording(phone: Phone, kill: Killing) -> None:
    recording = phone.recording(kill.call)
    if recording is None:
        return
    kill.recording = recording["status"]
    if kill.recording not in ("salvaged", "stored", "lost"):
        kill.faults.append(f"the recording is {kill.recording}")
    if kill.recording in ("salvaged", "stored"):
        sound = phone.sound(kill.call)
        if not sound.any():
            kill.faults.append("the recording is silent")
        if broken_intervals(sound, recording["guarded_intervals"]):
            kill.faults.append("sound in a guarded stretch")
    if list((phone.stack.home / "recordings").glob(f"*/{recording['call_id']}*")):
        kill.faults.append("the working file is still there")


def acknowledged(transcript: list[Line]) -> list[str]:
    """Return the caller's turns that something was done about: those must be kept."""
    last = max((n for n, line in enumerate(transcript) if line.who != "caller"), default=0)
    return [line.text for line in transcript[:last] if line.who == "caller"]


def _shows(call: PlacedCall, who: str, text: str) -> bool:
    return any(line.who == who and text in line.text for line in call.transcript)


def summary(kills: list[Killing]) -> dict[str, Any]:
    """Count what the kills met."""
    return {
        "agents": len(kills),
        "open": sum(kill.was_open for kill in kills),
        "acknowledged": sum(kill.acknowledged for kill in kills),
        "recordings": Counter(kill.recording for kill in kills if kill.recording != "none"),
        "faults": [f"{kill.after_s:.1f} s: {fault}" for kill in kills for fault in kill.faults],
    }
