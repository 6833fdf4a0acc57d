"""What the engine does about an utterance: one function of the situation, the same every time."""

from agent_container.engine import requests, troubleshooting
from agent_container.engine.history import Use
from agent_container.engine.situations import SILENCE, Move, Situation
from agent_container.engine.states import WRITES
from agent_container.folding import fold

# These results have been told to the caller by the tool itself.
_TOLD = frozenset({"asked", "offered", "opened", "added", "kept", "ended", "answered"})


async def decide(s: Situation) -> Move:
    """Choose the next move; no tool is called twice in a turn with the same arguments."""
    if any(_is_told(use) for use in s.exchange.uses):
        return SILENCE
    move = await _decide(s)
    done = [(use.name, use.arguments) for use in s.exchange.uses]
    if any((name, dict(arguments)) in done for name, arguments in move.calls):
        return s.unavailable("desk_unavailable")
    return move


def opening(s: Situation) -> Move:
    """Speak when the caller has said nothing that is not answered yet."""
    return s.say("anything_else" if s.state.answered else "help")


def _is_told(use: Use) -> bool:
    if use.result is None:
        return False
    told_by_tool = use.name in WRITES or use.name in ("transfer_to_person", "end_call")
    return told_by_tool and (use.status in _TOLD or "callback" in use.result)


async def _decide(s: Situation) -> Move:
    intent, state = s.heard.intent, s.state
    match intent:
        case "problem" | "how_to":
            return await troubleshooting.begin(s)
        case "tried_failed":
            return await troubleshooting.go_on(s, failed=True)
        case "next_step":
            return await _next_step(s)
        case "tried_worked":
            return s.say("glad", "anything_else")
        case "yes":
            return await _agreed(s)
        case "no":
            return await _declined(s)
        case "open_ticket" | "choose_ticket":
            return await requests.open_ticket(s)
        case "which_ticket":
            return await requests.chosen_ticket(s)
        case "ticket_status":
            return await requests.ticket_status(s)
        case "add_comment":
            return await requests.add_comment(s)
        case "my_assets":
            return requests.my_assets(s)
        case "outages":
            return troubleshooting.outages(s)
        case "transfer_person" | "choose_person":
            return requests.transfer(s)
        case "callback" | "choose_message":
            return requests.callback(s)
        case "spell_number":
            return requests.spell_number(s)
        case "goodbye":
            return requests.hang_up(s)
        case "repeat" | "slower":
            return _repeat(s, "say_again" if intent == "repeat" else "slowly")
        case "cancel":
            return _cancel(s)
        case "thanks":
            return s.resume("welcome")
        case "greeting":
            return s.resume("hello") if state.asked != "help" else s.say("hello", "help")
        case "small_talk":
            return s.resume("fine")
        case "who_are_you":
            return _introduce(s)
        case "out_of_scope":
            return s.resume("out_of_scope")
        case "silence":
            return s.resume("no_badge") if s.exchange.redacted else s.resume()
        case "unsure":
            return await _unsure(s)


async def _next_step(s: Situation) -> Move:
    if s.state.topic is None:
        return s.resume()
    return await troubleshooting.go_on(s, failed=False)


async def _agreed(s: Situation) -> Move:
    match s.state.asked:
        case "consent":
            if s.state.pending is None and s.state.topic is not None:
                return await requests.open_ticket(s)
            return s.ask_again()
        case "helped" | "worked":
            return s.say("glad", "anything_else")
        case "ready":
            return await _next_step(s)
        case "ticket_or_person":
            return await requests.open_ticket(s)
        case "want_person":
            return requests.transfer(s)
        case "want_callback" | "callback_or_person":
            return requests.callback(s)
        case _:
            return s.say("help")


async def _declined(s: Situation) -> Move:
    match s.state.asked:
        case "helped" | "worked" if s.state.topic is not None:
            return await troubleshooting.go_on(s, failed=True)
        case "ready":
            return s.say("ready")
        case "anything_else":
            return requests.hang_up(s)
        case "consent":
            return s.say("no_ticket_then", "anything_else")
        case "help" | None:
            return s.say("anything_else")
        case _:
            return s.say("left_alone", "anything_else")


def _repeat(s: Situation, intro: str) -> Move:
    state = s.state
    if state.asked == "consent" and state.pending is not None:
        return s.ask_again(intro)
    if not state.reply:
        return s.resume()
    # An intro of an earlier repetition is not repeated with the rest.
    said = state.reply
    for key in ("say_again", "slowly"):
        said = said.replace(s.answers.spoken(key), "").strip()
    return Move(f"{s.answers.spoken(intro)} {said}".strip())


def _introduce(s: Situation) -> Move:
    able = s.cues.has("abilities", fold(s.heard.text))
    about = s.answers.spoken("i_work_for", "my_work" if able else "i_am_an_ai", company=s.company)
    back = s.resume()
    return Move(f"{about} {back.text}".strip(), back.calls)


def _cancel(s: Situation) -> Move:
    if s.heard.closes_ticket:
        return s.say("cant_close", "anything_else")
    return s.say("no_ticket_then" if s.state.asked == "consent" else "left_alone", "anything_else")


async def _unsure(s: Situation) -> Move:
    state = s.state
    if state.asked == "consent":
        return s.ask_again()
    if state.unclear == 0:
        return s.say("rephrase")
    return s.way_out("still_unclear")
