"""What a caller asks the desk to do or to look up: tickets, devices, a person, a call back."""

import re
from collections.abc import Sequence
from typing import Any

from agent_container.engine import slots
from agent_container.engine.situations import SILENCE, Move, Situation
from agent_container.engine.states import Topic
from agent_container.engine.troubleshooting import ticket_for
from agent_container.folding import fold

_OPEN = ("open", "in_progress", "waiting")
_LISTED = 3
_WORD = re.compile(r"[a-z0-9]{4,}")

CLEARLY = 0.12
"""By how much one ticket must be closer to the caller's words than the next one."""


async def open_ticket(s: Situation) -> Move:
    """Have the caller asked whether a ticket may be opened; ask what about if that isn't known."""
    if "open_ticket" not in s.tools:
        return _needs_verification(s)
    used = s.result("open_ticket")
    if used is not None:
        return _after_write(s, used.error)
    topic = s.state.topic
    said = fold(s.heard.text)
    if s.heard.about:
        topic = Topic("problem", s.heard.about)
    elif s.cues.has("need_new", said) and not s.cues.has("ticket_word", said):
        topic = Topic("problem", s.heard.text)
    if topic is None:
        return s.say("ticket_about")
    return s.call("open_ticket", **ticket_for(s, topic))


async def ticket_status(s: Situation) -> Move:
    """Read the status of the caller's ticket; of several, the one they mean."""
    if "my_tickets" not in s.tools:
        return _needs_verification(s)
    found = s.result("my_tickets")
    if found is None:
        return s.call("my_tickets")
    if found.error:
        return s.unavailable("desk_unavailable")
    tickets = s.state.tickets or []
    if s.heard.number:
        named = s.state.ticket_named(s.heard.number)
        return _read(s, named) if named else s.say("ticket_unknown", "anything_else")
    if not tickets:
        return s.say("tickets_none", "anything_else")
    meant = await _meant(s, s.heard.text, tickets)
    if meant is not None:
        return _read(s, meant)
    current = [ticket for ticket in tickets if ticket.get("status") in _OPEN] or tickets
    if len(current) == 1:
        return _read(s, current[0])
    return _which(s, current)


async def add_comment(s: Situation) -> Move:
    """Add the caller's words to the ticket that was spoken of, or ask to which one."""
    if "comment_on_ticket" not in s.tools:
        return _needs_verification(s)
    used = s.result("comment_on_ticket")
    if used is not None:
        return _after_write(s, used.error, done="comment_added")
    comment = s.state.comment
    if not comment:
        return s.say("which_comment")
    listed = s.result("my_tickets")
    if listed is None and (s.state.tickets is None or s.heard.number):
        return s.call("my_tickets")
    if listed is not None and listed.error:
        return s.unavailable("desk_unavailable")
    ticket = await _ticket_to_comment(s)
    if ticket is not None:
        return s.call("comment_on_ticket", ticket=str(ticket["number"]), text=comment)
    if s.heard.number:
        return s.say("ticket_unknown", "anything_else")
    current = [t for t in s.state.tickets or [] if t.get("status") in _OPEN]
    return _which(s, current) if current else s.say("nothing_to_comment", "anything_else")


async def chosen_ticket(s: Situation) -> Move:
    """Take the answer to "which one do you mean?", for a status or for a comment."""
    if s.state.comment:
        return await add_comment(s)
    return await ticket_status(s)


def spell_number(s: Situation) -> Move:
    """Read a ticket number letter by letter."""
    number = s.state.ticket
    full = (s.state.ticket_named(number) or {}).get("number") if number else None
    if number and (full or not number.isdigit()):
        return s.say("spelled", "anything_else", number=slots.spelled(str(full or number)))
    found = s.result("my_tickets")
    if found is None and "my_tickets" in s.tools:
        return s.call("my_tickets")
    current = [t for t in s.state.tickets or [] if t.get("status") in _OPEN]
    if len(current) == 1:
        return s.say("spelled", "anything_else", number=slots.spelled(str(current[0]["number"])))
    return _which(s, current) if current else s.resume("no_number")


def my_assets(s: Situation) -> Move:
    """Tell which devices are in the caller's name, and a serial number only when one was given."""
    if "my_assets" not in s.tools:
        return _needs_verification(s)
    found = s.result("my_assets")
    if found is None:
        return s.call("my_assets")
    if found.error or found.result is None:
        return s.unavailable("desk_unavailable")
    assets: list[dict[str, Any]] = found.result.get("assets") or []
    if not assets:
        return s.say("assets_none", "anything_else")
    said = fold(s.heard.text)
    named = [a for a in assets if set(_WORD.findall(fold(f"{a.get('kind')} {a.get('name')}")))
             & set(_WORD.findall(said))]  # fmt: skip
    listed = named or assets
    if "serial" in said or "serie" in said:
        known = [asset for asset in listed if asset.get("serial")]
        if not known:
            return s.way_out("serial_hidden")
        told = [
            s.answers.spoken("serial", name=str(a["name"]), serial=slots.spelled(str(a["serial"])))
            for a in known[:_LISTED]
        ]
    else:
        told = [s.answers.spoken("assets_some")]
        told += [s.answers.spoken("asset", name=str(a.get("name"))) for a in listed[:_LISTED]]
    return Move(" ".join([*told, s.answers.spoken("anything_else")]))


def transfer(s: Situation) -> Move:
    """Put the caller through; the tool itself says what happens."""
    if "transfer_to_person" not in s.tools:
        key = "want_callback" if "request_callback" in s.tools else "anything_else"
        return s.say("no_transfer", key)
    used = s.result("transfer_to_person")
    if used is None:
        return s.call("transfer_to_person", reason=_reason(s, "wants_person"))
    if used.status == "answered" or "callback" in (used.result or {}):
        return SILENCE
    if s.result("request_callback") is not None:
        return SILENCE
    if used.error is None and "request_callback" in s.tools:
        return s.call("request_callback", "nobody_free", reason=_reason(s, "wants_callback"))
    return s.say("nobody_free", "anything_else")


def callback(s: Situation) -> Move:
    """Have the caller asked whether a colleague shall call back."""
    if "request_callback" not in s.tools:
        key = "want_person" if "transfer_to_person" in s.tools else "anything_else"
        return s.say("no_callback", key)
    used = s.result("request_callback")
    if used is not None:
        return _after_write(s, used.error)
    return s.call("request_callback", reason=_reason(s, "wants_callback"))


def hang_up(s: Situation) -> Move:
    """End the call; the tool itself says goodbye."""
    if "end_call" not in s.tools:
        return s.say("goodbye")
    return s.call("end_call") if s.result("end_call") is None else SILENCE


def _after_write(s: Situation, error: str | None, done: str = "") -> Move:
    if error == "not_found":
        return s.say("ticket_unknown", "anything_else")
    if error == "not_allowed":
        return s.unavailable("not_allowed")
    if error:
        return s.unavailable("desk_unavailable")
    return s.say(done, "anything_else") if done else s.say("anything_else")


def _needs_verification(s: Situation) -> Move:
    if s.verified:
        return s.way_out("not_allowed")
    helps = ["general_help"] if "search_knowledge" in s.tools else []
    return s.way_out("needs_verification", *helps)


def _reason(s: Situation, otherwise: str) -> str:
    topic = s.state.topic
    return slots.summary(topic.text, s.cues) if topic else s.answers.write(otherwise)


def _read(s: Situation, ticket: dict[str, Any]) -> Move:
    status = f"status_{ticket.get('status')}"
    note = str(ticket.get("note") or "").strip()
    keys = ["ticket_found", *([status] if status in s.answers.say else [])]
    keys += [*(["note"] if note else []), "number", "anything_else"]
    return s.say(
        *keys,
        summary=str(ticket.get("summary", "")).rstrip(" ."),
        note=note,
        number=str(ticket.get("number", "")),
    )


def _which(s: Situation, tickets: Sequence[dict[str, Any]]) -> Move:
    told = [s.answers.spoken("tickets_several")]
    told += [
        s.answers.spoken("listed", summary=str(t.get("summary", "")).rstrip(" ."))
        for t in tickets[:_LISTED]
    ]
    if len(tickets) > _LISTED:
        told.append(s.answers.spoken("tickets_more"))
    return Move(" ".join([*told, s.answers.spoken("which_ticket")]))


async def _ticket_to_comment(s: Situation) -> dict[str, Any] | None:
    tickets = s.state.tickets or []
    number = s.heard.number or s.state.ticket
    if number and (named := s.state.ticket_named(number)):
        return named
    if s.heard.number:
        return None
    current = [ticket for ticket in tickets if ticket.get("status") in _OPEN]
    if s.state.asked == "which_ticket":
        return await _meant(s, s.heard.text, tickets)
    if len(current) == 1:
        return current[0]
    return None


async def _meant(
    s: Situation, text: str, tickets: Sequence[dict[str, Any]]
) -> dict[str, Any] | None:
    """Return the one ticket that the caller's words point to, or None."""
    said = set(_WORD.findall(fold(text)))
    shared = [len(said & set(_WORD.findall(fold(str(t.get("summary", "")))))) for t in tickets]
    best = max(shared, default=0)
    if best and shared.count(best) == 1:
        return tickets[shared.index(best)]
    if len(tickets) < 2:
        return None
    alike = await s.similarity(text, [str(ticket.get("summary", "")) for ticket in tickets])
    ranked = sorted(range(len(alike)), key=alike.__getitem__, reverse=True)
    if alike[ranked[0]] >= 0.45 and alike[ranked[0]] - alike[ranked[1]] >= CLEARLY:
        return tickets[ranked[0]]
    return None
