"""The call read back from LiveKit's chat context."""

from livekit.agents.llm import ChatContext, FunctionCall, FunctionCallOutput

from agent_container.engine import history


def _context() -> ChatContext:
    context = ChatContext.empty()
    context.add_message(role="system", content="the desk")
    context.add_message(role="assistant", content="How can I help you?")
    return context


def test_exchanges_hold_what_was_said_and_done() -> None:
    context = _context()
    context.add_message(role="user", content="my vpn is down")
    call = FunctionCall(call_id="1", name="known_outages", arguments="{}")
    output = FunctionCallOutput(
        call_id="1", name="known_outages", output='{"outages": []}', is_error=False
    )
    context.insert([call, output])
    context.add_message(role="assistant", content="Did that help?")
    opening, exchange = history.read(context)
    assert opening.reply == "How can I help you?"
    assert (exchange.heard, exchange.reply) == ("my vpn is down", "Did that help?")
    assert exchange.results("known_outages")[0].result == {"outages": []}


def test_caller_who_goes_on_speaking_is_one_utterance() -> None:
    context = _context()
    context.add_message(role="user", content="my vpn")
    context.add_message(role="user", content="is down")
    assert [exchange.heard for exchange in history.read(context)] == ["", "my vpn is down"]


def test_redacted_words_are_left_out() -> None:
    context = _context()
    context.add_message(role="user", content="my badge is [redacted: badge] and my vpn is down")
    exchange = history.read(context)[-1]
    assert exchange.redacted
    assert exchange.heard == "my badge is and my vpn is down"


def test_failed_and_unreadable_results_are_told_apart() -> None:
    context = _context()
    context.add_message(role="user", content="hello")
    for number, (output, failed) in enumerate(
        [("boom", True), ("a word", False), ("{'a': 1}", False)]
    ):
        call = FunctionCall(call_id=str(number), name=f"tool{number}", arguments="not json")
        context.insert(
            [
                call,
                FunctionCallOutput(
                    call_id=call.call_id, name=call.name, output=output, is_error=failed
                ),
            ]
        )
    uses = history.read(context)[-1].uses
    assert [use.error for use in uses] == ["desk_unavailable", None, None]
    assert [use.result for use in uses][1:] == [{"text": "a word"}, {"a": 1}]
    assert uses[0].arguments == {}
