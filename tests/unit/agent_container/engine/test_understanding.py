"""The classifier only proposes: an action needs the caller's own words, and questions decide."""

import numpy as np
import pytest
from livekit.agents import function_tool
from livekit.agents.llm import ChatContext, FunctionCall, FunctionCallOutput

from agent_container.engine import EngineLLM, cues, intents
from agent_container.engine.dialogues import Dialogue
from agent_container.engine.regression import Regression
from agent_container.engine.understanding import understand
from tests.evals.evaluation import LocalEncoder
from tests.evals.text_calls import SmallDesk, TextCall, tickets

LABELS = tuple(sorted({intent for intent, _ in intents.examples()}))


def _certain_of(intent: str) -> Regression:
    """A classifier that is wrong in the worst way: sure of one intent, whatever is said."""
    bias = np.zeros(len(LABELS), dtype=np.float32)
    bias[LABELS.index(intent)] = 4.0
    return Regression(LABELS, np.zeros((512, len(LABELS)), dtype=np.float32), bias)


@pytest.mark.parametrize("intent", ["transfer_person", "callback", "goodbye"])
@pytest.mark.parametrize("in_steps", [True, False])
def test_no_action_without_words_that_ask_for_it(intent: str, in_steps: bool) -> None:
    text = "the blue chair is next to the window"
    understood = understand(
        text,
        language="en",
        cues=cues.in_language("en"),
        model=_certain_of(intent),
        vectors={text: np.zeros(512, dtype=np.float32)},
        asked=None,
        in_steps=in_steps,
    )
    assert understood.intent != intent


@pytest.mark.parametrize(
    ("language", "text", "asked", "intent"),
    [
        ("fr", "c'est bon", "helped", "tried_worked"),
        ("en", "nothing", "helped", "tried_failed"),
        ("en", "nothing", "anything_else", "goodbye"),
        ("en", "that's it", "want_callback", "no"),
        ("en", "that's it, goodbye", "want_callback", "goodbye"),
        ("en", "yes but not now", "consent", "unsure"),
        ("en", "a person", "ticket_or_person", "choose_person"),
        ("en", "the first one", "ticket_or_person", "choose_ticket"),
        ("en", "take a message", "callback_or_person", "choose_message"),
        ("en", "the one with the monitor", "which_ticket", "which_ticket"),
        ("en", "no", "which_ticket", "no"),
        ("en", "it flickers at night", "which_comment", "add_comment"),
        ("en", "never mind", "ticket_about", "cancel"),
    ],
)
async def test_question_decides_what_an_answer_means(
    encoder: LocalEncoder, language: str, text: str, asked: str, intent: str
) -> None:
    dialogue = Dialogue(encoder, language=language, company="Meridian Works")
    understood = await dialogue.understand(text, asked=asked, in_steps=asked == "helped")
    assert understood.intent in (intent, "unsure" if intent == "tried_failed" else intent)


@function_tool
async def open_ticket(summary: str, description: str) -> str:
    """Open a ticket."""
    return ""


@pytest.mark.parametrize("status", ["asked", "offered", "opened", "kept"])
async def test_nothing_is_added_to_what_a_tool_has_said(encoder: LocalEncoder, status: str) -> None:
    context = ChatContext.empty()
    context.add_message(role="user", content="open a ticket for my broken mouse")
    call = FunctionCall(call_id="1", name="open_ticket", arguments='{"summary": "Broken mouse"}')
    context.insert(
        [
            call,
            FunctionCallOutput(
                call_id="1", name=call.name, output=f'{{"status": "{status}"}}', is_error=False
            ),
        ]
    )
    engine = EngineLLM(encoder, language="en", company="Meridian Works")
    response = await engine.chat(chat_ctx=context, tools=[open_ticket]).collect()
    assert (response.text, response.tool_calls) == ("", [])


async def test_comment_without_the_tool_for_it_is_not_made(encoder: LocalEncoder) -> None:
    own = tickets(("T-1024", "New laptop", "in_progress", ""))
    absent = frozenset({"comment_on_ticket"})
    async with TextCall(encoder, SmallDesk(tickets=own, absent=absent)) as call:
        turn = await call.say("please add that I need it before Friday")
        assert turn.calls == []
        assert "not allowed" in turn.said
