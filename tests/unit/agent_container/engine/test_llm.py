"""The engine speaks LiveKit's protocol as a provider's plugin does."""

import json
from collections.abc import Sequence

import pytest
from aurion.errors import SpeechUnavailable
from livekit.agents import APIConnectionError, APIConnectOptions, function_tool
from livekit.agents.llm import ChatChunk, ChatContext, Tool

from agent_container.engine import EngineLLM
from agent_container.engine.regression import Vectors
from tests.evals.evaluation import LocalEncoder

AT_ONCE = APIConnectOptions(max_retry=2, retry_interval=0.0, timeout=5.0)


@function_tool
async def known_outages() -> str:
    """List disturbances."""
    return "{}"


@function_tool(
    raw_schema={
        "name": "search_knowledge",
        "description": "Find instructions.",
        "parameters": {"type": "object", "properties": {"query": {"type": "string"}}},
    }
)
async def search_knowledge(raw_arguments: dict[str, object]) -> str:
    return "{}"


def _said(*texts: str) -> ChatContext:
    context = ChatContext.empty()
    for number, text in enumerate(texts):
        context.add_message(role="assistant" if number % 2 == 0 else "user", content=text)
    return context


PROBLEM = _said("How can I help you?", "my vpn keeps disconnecting")
TOOLS: list[Tool] = [search_knowledge, known_outages]


async def _chunks(
    encoder: LocalEncoder, context: ChatContext, **options: object
) -> list[ChatChunk]:
    engine = EngineLLM(encoder, language="en", company="Meridian Works")
    async with engine, engine.chat(chat_ctx=context, **options) as stream:  # pyright: ignore
        return [chunk async for chunk in stream]


async def test_text_comes_in_chunks_that_join_to_the_answer(encoder: LocalEncoder) -> None:
    chunks = await _chunks(encoder, _said("How can I help you?", "what is the weather like"))
    texts = [chunk.delta.content for chunk in chunks if chunk.delta and chunk.delta.content]
    assert len(texts) > 5
    assert "".join(texts) == ("I am sorry, I can only help with IT matters. How can I help you?")
    assert {chunk.delta.role for chunk in chunks if chunk.delta} == {"assistant"}
    assert len({chunk.id for chunk in chunks}) == 1


async def test_tool_calls_come_with_ids_and_json_arguments(encoder: LocalEncoder) -> None:
    chunks = await _chunks(encoder, PROBLEM, tools=TOOLS)
    calls = [call for chunk in chunks if chunk.delta for call in chunk.delta.tool_calls]
    assert [call.name for call in calls] == ["search_knowledge", "known_outages"]
    assert json.loads(calls[0].arguments) == {"query": "my vpn keeps disconnecting"}
    assert len({call.call_id for call in calls}) == 2
    assert all(call.type == "function" for call in calls)


async def test_usage_is_the_last_chunk(encoder: LocalEncoder) -> None:
    chunks = await _chunks(encoder, PROBLEM, tools=TOOLS)
    assert [chunk.usage is not None for chunk in chunks] == [False] * (len(chunks) - 1) + [True]


async def test_no_tool_is_called_when_none_may_be(encoder: LocalEncoder) -> None:
    for options in ({}, {"tools": TOOLS, "tool_choice": "none"}):
        chunks = await _chunks(encoder, PROBLEM, **options)
        assert not [c for c in chunks if c.delta and c.delta.tool_calls]
        assert any(c.delta and c.delta.content for c in chunks)


async def test_one_tool_at_a_time_when_asked_so(encoder: LocalEncoder) -> None:
    chunks = await _chunks(encoder, PROBLEM, tools=TOOLS, parallel_tool_calls=False)
    calls = [call for chunk in chunks if chunk.delta for call in chunk.delta.tool_calls]
    assert [call.name for call in calls] == ["search_knowledge"]


async def test_collected_answer_is_whole(encoder: LocalEncoder) -> None:
    engine = EngineLLM(encoder, language="fr", company="Meridian Works")
    response = await engine.chat(
        chat_ctx=_said("Comment puis-je vous aider ?", "bonjour")
    ).collect()
    assert response.text == "Bonjour. Comment puis-je vous aider ?"
    assert response.usage is not None
    assert (engine.model, engine.provider) == ("dialogue-engine", "aurion")


async def test_caller_who_said_nothing_is_greeted(encoder: LocalEncoder) -> None:
    engine = EngineLLM(encoder, language="en", company="Meridian Works")
    response = await engine.chat(chat_ctx=ChatContext.empty()).collect()
    assert response.text == "How can I help you?"


class _Interrupted:
    """A speech server that is away for its first requests."""

    def __init__(self, encoder: LocalEncoder, *, away: int) -> None:
        self._encoder = encoder
        self._away = away
        self.asked = 0

    async def encode(self, texts: Sequence[str]) -> Vectors:
        self.asked += 1
        if self.asked <= self._away:
            raise SpeechUnavailable
        return await self._encoder.encode(texts)


async def test_speech_server_that_comes_back_is_asked_again(encoder: LocalEncoder) -> None:
    server = _Interrupted(encoder, away=2)
    engine = EngineLLM(server, language="en", company="Meridian Works")
    stream = engine.chat(chat_ctx=PROBLEM, conn_options=AT_ONCE)
    assert (await stream.collect()).text
    assert server.asked >= 3


async def test_speech_server_that_stays_away_is_an_error_of_the_connection(
    encoder: LocalEncoder,
) -> None:
    engine = EngineLLM(_Interrupted(encoder, away=99), language="en", company="Meridian Works")
    with pytest.raises(APIConnectionError):
        await engine.chat(chat_ctx=PROBLEM, conn_options=AT_ONCE).collect()
