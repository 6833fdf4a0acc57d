"""The dialogue engine in a language model's place: LiveKit's `llm.LLM`, answered by rules."""

import json
import re
from typing import Any

from aurion.errors import SpeechUnavailable
from livekit.agents import APIConnectionError, llm, utils
from livekit.agents.types import (
    DEFAULT_API_CONNECT_OPTIONS,
    NOT_GIVEN,
    APIConnectOptions,
    NotGivenOr,
)

from agent_container.engine import history
from agent_container.engine.dialogues import Dialogue
from agent_container.engine.intents import Encoder
from agent_container.engine.situations import Move

_CHUNK = re.compile(r"\S+\s*")


class EngineLLM(llm.LLM):
    """Answer one call by rules; agent, tools and tests use it as they use a provider's model.

    It calls only the tools it is offered, and works out where the call stands from the chat context
    alone, so that another process can go on with a call it takes over.
    """

    def __init__(self, speech: Encoder, *, language: str, company: str) -> None:
        super().__init__()
        self._dialogue = Dialogue(speech, language=language, company=company)

    @property
    def model(self) -> str:
        """Return the engine's name, as it stands in metrics."""
        return "dialogue-engine"

    @property
    def provider(self) -> str:
        """Return who answers: this project itself."""
        return "aurion"

    def chat(
        self,
        *,
        chat_ctx: llm.ChatContext,
        tools: list[llm.Tool] | None = None,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
        parallel_tool_calls: NotGivenOr[bool] = NOT_GIVEN,
        tool_choice: NotGivenOr[llm.ToolChoice] = NOT_GIVEN,
        extra_kwargs: NotGivenOr[dict[str, Any]] = NOT_GIVEN,
    ) -> "EngineStream":
        """Answer the chat context as a stream of text and tool calls."""
        return EngineStream(
            self,
            self._dialogue,
            chat_ctx=chat_ctx,
            tools=[] if tool_choice == "none" else tools or [],
            conn_options=conn_options,
            one_call=parallel_tool_calls is False,
        )

    async def _prewarm_impl(self) -> None:
        await self._dialogue.warm_up()


class EngineStream(llm.LLMStream):
    """One answer of the engine."""

    def __init__(
        self,
        engine: EngineLLM,
        dialogue: Dialogue,
        *,
        chat_ctx: llm.ChatContext,
        tools: list[llm.Tool],
        conn_options: APIConnectOptions,
        one_call: bool,
    ) -> None:
        super().__init__(engine, chat_ctx=chat_ctx, tools=tools, conn_options=conn_options)
        self._dialogue = dialogue
        self._one_call = one_call

    async def _run(self) -> None:
        offered = llm.ToolContext(self._tools).function_tools
        try:
            move = await self._dialogue.respond(history.read(self._chat_ctx), offered)
        except SpeechUnavailable as unavailable:
            # LiveKit retries, or goes on to the next model.
            raise APIConnectionError(retryable=True) from unavailable
        self._send(move)

    def _send(self, move: Move) -> None:
        request = utils.shortuuid("engine_")
        words = _CHUNK.findall(move.text)
        for word in words:
            delta = llm.ChoiceDelta(role="assistant", content=word)
            self._event_ch.send_nowait(llm.ChatChunk(id=request, delta=delta))
        for name, arguments in move.calls[:1] if self._one_call else move.calls:
            call = llm.FunctionToolCall(
                name=name,
                arguments=json.dumps(arguments, ensure_ascii=False),
                call_id=utils.shortuuid("call_"),
            )
            delta = llm.ChoiceDelta(role="assistant", tool_calls=[call])
            self._event_ch.send_nowait(llm.ChatChunk(id=request, delta=delta))
        usage = llm.CompletionUsage(
            completion_tokens=len(words), prompt_tokens=0, total_tokens=len(words)
        )
        self._event_ch.send_nowait(llm.ChatChunk(id=request, usage=usage))
