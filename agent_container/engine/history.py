"""The call so far, read from LiveKit's chat context: who said what, which tool answered what."""

import ast
import json
import re
from dataclasses import dataclass, field
from typing import Any

from livekit.agents.llm import ChatContext

_REDACTED = re.compile(r"\[redacted[^\]]*\]", re.IGNORECASE)


@dataclass(slots=True)
class Use:
    """One tool call and what came back; `result` stays None until something did."""

    name: str
    arguments: dict[str, Any]
    result: dict[str, Any] | None = None

    @property
    def status(self) -> str:
        """Return the result's status word, or an empty string."""
        return str((self.result or {}).get("status", ""))

    @property
    def error(self) -> str | None:
        """Return the result's error word, or None."""
        error = (self.result or {}).get("error")
        return None if error is None else str(error)


@dataclass(slots=True)
class Exchange:
    """What the caller said, and all that the agent did and said until they spoke again."""

    heard: str
    redacted: bool = False
    uses: list[Use] = field(default_factory=list)
    replies: list[str] = field(default_factory=list)
    interrupted: bool = False

    @property
    def reply(self) -> str:
        """Return everything the agent said in this exchange as one text."""
        return " ".join(self.replies)

    def results(self, tool: str) -> list[Use]:
        """Return the finished uses of one tool."""
        return [use for use in self.uses if use.name == tool and use.result is not None]


def read(chat_ctx: ChatContext) -> list[Exchange]:
    """Cut the chat context into exchanges; the first holds what came before the caller spoke."""
    exchanges = [Exchange("")]
    by_call: dict[str, Use] = {}
    for item in chat_ctx.items:
        now = exchanges[-1]
        if item.type == "message":
            text = (item.text_content or "").strip()
            if item.role == "user":
                _hear(exchanges, text)
            elif item.role == "assistant" and text:
                now.replies.append(text)
                now.interrupted = item.interrupted
        elif item.type == "function_call":
            use = Use(item.name, _arguments(item.arguments))
            by_call[item.call_id] = use
            now.uses.append(use)
        elif item.type == "function_call_output" and item.call_id in by_call:
            by_call[item.call_id].result = _result(item.output, failed=item.is_error)
    return exchanges


def _hear(exchanges: list[Exchange], text: str) -> None:
    now = exchanges[-1]
    said = _REDACTED.sub(" ", text)
    redacted = said != text
    said = re.sub(r"\s+", " ", said).strip()
    if now.heard and not now.uses and not now.replies:
        # The caller went on speaking before anything was answered: it is one utterance.
        now.heard = f"{now.heard} {said}".strip()
        now.redacted = now.redacted or redacted
    else:
        exchanges.append(Exchange(said, redacted))


def _arguments(text: str) -> dict[str, Any]:
    try:
        parsed = json.loads(text or "{}")
    except json.JSONDecodeError:
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _result(output: str, *, failed: bool) -> dict[str, Any]:
    """Read a tool's answer: JSON, or a Python literal where the framework made text of a dict."""
    if failed:
        return {"error": "desk_unavailable"}
    for parse in (json.loads, ast.literal_eval):
        try:
            parsed = parse(output)
        except (ValueError, SyntaxError):
            continue
        if isinstance(parsed, dict):
            return parsed
    return {"text": output}
