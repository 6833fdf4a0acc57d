"""A problem or a question about how something is done: outages first, then the steps one by one."""

import re
from datetime import datetime
from typing import Any

from agent_container.engine import slots
from agent_container.engine.situations import Move, Situation
from agent_container.engine.states import Guide, Topic
from agent_container.folding import fold

DONE_ALREADY = 0.55
"""Cosine from which a step counts as what the caller says they did."""
RELEVANT = 0.3
"""Cosine below which an article that the desk found is about something else."""
SAME_SERVICE = 0.5
"""Cosine from which an outage explains the problem without its service being named."""
NAMED_SERVICE = 0.36
"""Cosine that is enough when the caller names the service that is disturbed."""

_WORD = re.compile(r"[a-z0-9]{3,}")
_CLAUSE = re.compile(r"[,;.:]| (?:and|then|or|et|puis|ou|en|dan|of|und|dann|oder) ")


async def begin(s: Situation) -> Move:
    """Look a new matter up, and tell the caller the first thing to do about it."""
    topic = s.state.topic
    assert topic is not None
    if "search_knowledge" not in s.tools:
        return s.way_out("knowledge_unavailable")
    found = s.result("search_knowledge")
    if found is None:
        calls: list[tuple[str, dict[str, Any]]] = [("search_knowledge", {"query": topic.text})]
        if topic.kind == "problem" and "known_outages" in s.tools:
            calls.append(("known_outages", {}))
        return Move("", tuple(calls))
    outage = await _outage_behind(s, topic)
    if outage is not None:
        return Move(_about_outage(s, outage, "known_outage", "anything_else"))
    if found.error:
        return s.way_out("knowledge_unavailable")
    if topic.guide is None or not await _relevant(s, topic, topic.guide):
        topic.guide = None
        return s.way_out("no_article")
    return await _next(s, topic, topic.guide)


async def go_on(s: Situation, *, failed: bool) -> Move:
    """Tell the next step, or what is left when there is none."""
    topic = s.state.topic
    assert topic is not None
    if topic.guide is None and not any(s.answers.question_in(told) for told in topic.told):
        return await begin(s)
    if topic.guide is None:
        # The call was taken over with its words only: find the article again.
        found = s.result("search_knowledge")
        if found is None and "search_knowledge" in s.tools:
            return s.call("search_knowledge", query=topic.text)
        return exhausted(s)
    return await _next(s, topic, topic.guide, failed=failed)


def exhausted(s: Situation) -> Move:
    """No step is left: have the caller asked for a ticket, or offer what their level allows."""
    if "open_ticket" in s.tools and s.state.topic is not None:
        return s.call("open_ticket", "steps_exhausted", **ticket_for(s, s.state.topic))
    return s.way_out("steps_exhausted")


def ticket_for(s: Situation, topic: Topic) -> dict[str, str]:
    """Return summary and description of a ticket about the topic, the steps tried included."""
    lines = [s.answers.write("problem", text=_one_line([topic.text, *topic.details]))]
    if topic.claimed:
        lines.append(s.answers.write("claimed", text=_one_line(topic.claimed)))
    if topic.guide is not None and topic.kind == "problem":
        tried = [topic.guide.steps[number] for number in topic.given()]
        if tried:
            lines.append(s.answers.write("tried", text=" ".join(tried)))
    return {"summary": slots.summary(topic.text, s.cues), "description": "\n".join(lines)}


def outages(s: Situation) -> Move:
    """Tell the disturbances that are known."""
    if "known_outages" not in s.tools:
        return s.way_out("knowledge_unavailable")
    found = s.result("known_outages")
    if found is None:
        return s.call("known_outages")
    if found.error or found.result is None:
        return s.unavailable("knowledge_unavailable")
    listed: list[dict[str, Any]] = found.result.get("outages") or []
    if not listed:
        return s.say("outages_none", "anything_else")
    told = [s.answers.spoken("outages_some")]
    told += [_about_outage(s, outage) for outage in listed[:2]]
    return Move(" ".join([*told, s.answers.spoken("anything_else")]))


async def _next(s: Situation, topic: Topic, guide: Guide, *, failed: bool = False) -> Move:
    given = set(topic.given())
    claimed = await _claimed_steps(s, topic, guide)
    left = [n for n in range(len(guide.steps)) if n not in given and n not in claimed]
    first = not given
    if not guide.steps and first and guide.summary:
        return Move(s.answers.spoken("step", "worked", step=guide.summary))
    if not left:
        return exhausted(s) if topic.kind == "problem" else s.say("worked")
    step, last = guide.steps[left[0]], len(left) == 1
    skipped_now = first and bool(claimed)
    if topic.kind == "how_to":
        intro = ["guide_first"] if first else ["guide_last"] if last else []
        return Move(s.answers.spoken(*intro, "step", "worked" if last else "ready", step=step))
    intro = ["done_before"] if skipped_now else []
    intro.append("step_first" if first else "step_last" if last else "step_next")
    text = s.answers.spoken(*intro, "step", "helped", step=step)
    # The steps that failed belong into the ticket, so the offer is renewed whenever there is more.
    if "open_ticket" in s.tools and (first or failed):
        return Move(text, (("open_ticket", {**ticket_for(s, topic), "offer": True}),))
    return Move(text)


async def _claimed_steps(s: Situation, topic: Topic, guide: Guide) -> set[int]:
    claimed: set[int] = set()
    for claim in topic.claims:
        alike = [
            max(await s.similarity(claim, [c.strip() for c in _CLAUSE.split(step) if c.strip()]))
            for step in guide.steps
        ]
        best = max(range(len(alike)), key=alike.__getitem__, default=None)
        if best is not None and alike[best] >= DONE_ALREADY:
            claimed.add(best)
    return claimed


async def _relevant(s: Situation, topic: Topic, guide: Guide) -> bool:
    alike = await s.similarity(topic.text, [guide.title, guide.summary])
    return max(alike) >= RELEVANT


async def _outage_behind(s: Situation, topic: Topic) -> dict[str, Any] | None:
    found = s.result("known_outages")
    if topic.kind != "problem" or found is None or found.error or found.result is None:
        return None
    said = _WORD.findall(fold(topic.text))
    for outage in found.result.get("outages") or []:
        alike = await s.similarity(
            topic.text, [str(outage.get("service", "")), str(outage.get("summary", ""))]
        )
        service = _WORD.findall(fold(str(outage.get("service", ""))))
        named = any(word in heard for word in service for heard in said)
        if max(alike) >= (NAMED_SERVICE if named else SAME_SERVICE):
            return outage
    return None


def _about_outage(s: Situation, outage: dict[str, Any], *around: str) -> str:
    before, after = around[:1], around[1:]
    text = s.answers.spoken(*before, "outage", summary=str(outage.get("summary", "")))
    end = _clock(str(outage.get("expected_end") or ""))
    when = s.answers.spoken("outage_end", time=end) if end else s.answers.spoken("outage_open_end")
    return " ".join(filter(None, [text, when, s.answers.spoken(*after)]))


def _clock(moment: str) -> str:
    """Return the hour and minute of an ISO time; what is no such time is spoken as it came."""
    try:
        return datetime.fromisoformat(moment).strftime("%H:%M")
    except ValueError:
        return moment


def _one_line(texts: list[str]) -> str:
    return " ".join(text.strip() for text in texts)
