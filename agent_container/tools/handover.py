"""To a person: put the call through, or have somebody call back."""

from aurion import tickets
from aurion.errors import NotAllowed, Rejected, Unavailable
from aurion.itsm import Handover, TransferResult

from agent_container.tools.desk import Desk
from agent_container.tools.registry import Result, on_consent, tool
from agent_container.tools.text import clean


@tool
async def transfer_to_person(desk: Desk, reason: str) -> Result:  # noqa: D417
    """Put the caller through to a person.

    Use it when the caller asks for a person, is upset, or needs what you cannot do. Say nothing
    after it: the system tells the caller what happens.

    Args:
        reason: Why, in a few words, in the caller's language.
    """
    state = desk.state
    desk.say("person.one_moment")
    state.events.state("transferring")
    state.transferring = True
    try:
        answer = await _offer(desk, clean(reason, 200))
    finally:
        state.transferring = False
        state.events.state("desk")
    if answer.status == "answered":
        if answer.person:
            desk.say("person.answered_by", person=answer.person)
        else:
            desk.say("person.answered")
        await desk.voice.finish()
        if await _put_through(desk):
            state.transferred = True
            state.hang_up.set()
            return {"status": "answered"}
        desk.say("person.not_possible")
    else:
        desk.say("person.nobody")
    return {"status": "no_answer"} | await callback_agreed(desk, reason)


@tool
async def request_callback(desk: Desk, reason: str) -> Result:  # noqa: D417
    """Have a colleague call the caller back; also how the caller leaves a message.

    The system asks the caller itself before it does so. Say nothing after it.

    Args:
        reason: What it is about or the caller's message, in the caller's language.
    """
    reason = clean(reason, 600)
    return desk.ask("request_callback", {"reason": reason}, "ask.callback", reason=reason)


@on_consent("request_callback")
async def callback_agreed(desk: Desk, reason: str) -> Result:
    """Open the callback ticket and tell the caller its number."""
    state = desk.state
    number = state.call.calling_number
    try:
        requester = await desk.requester()
    except (Unavailable, Rejected):
        requester = None
    lines = [clean(reason, 600), f"Tel. {number}" if number else ""]
    try:
        placed = await tickets.callback(
            desk.connector,
            state,
            summary=clean(reason, 120),
            description="\n".join(filter(None, lines)),
            language=state.language,
            requester_id=None if requester is None else requester.id,
            requester_email=None if state.person is None else state.person.email,
        )
    except NotAllowed:
        desk.say("person.not_possible")
        return {"error": "not_allowed"}
    if placed.number is None:
        state.kept_drafts += 1
        desk.say("person.callback_kept")
        desk.say("done.anything_else")
        return {"callback": "kept"}
    state.callbacks.append(placed.number)
    state.tickets = None  # it is one of the caller's tickets now
    desk.say("person.callback", ticket=placed.number)
    desk.say("done.anything_else")
    return {"callback": placed.number}


async def _put_through(desk: Desk) -> bool:
    """Hand the telephone call itself over, where there is one and a number to reach people by."""
    state, number = desk.state, desk.state.tenant.fallback_number
    if state.put_through is None or number is None:
        return True
    return await state.put_through(number, ringing_s=state.transfer_s)


async def _offer(desk: Desk, reason: str) -> TransferResult:
    state = desk.state
    try:
        requester = await desk.requester()
        return await desk.connector.offer_transfer(
            Handover(
                call_id=str(state.call_id),
                requester_id=None if requester is None else requester.id,
                caller_name=None if state.person is None else state.person.name,
                level=state.level,
                intent=reason,
                steps_tried=tuple(clean(step, 200) for step in state.tried[-10:]),
                ticket=next(iter(state.opened[::-1] + state.commented[::-1]), None),
                language=state.language,
            ),
            timeout_s=state.transfer_s,
        )
    except (Unavailable, Rejected):
        # Nobody was reached, and the caller must not be left alone with our troubles.
        return TransferResult(status="no_answer")
