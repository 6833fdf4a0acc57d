"""The paid models' paths, against servers that speak their wire protocols."""

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import pytest

from agent_container import providers
from agent_container.call import Deps
from agent_container.config import Config
from agent_container.speech.client import SpeechClient
from tests.providers import anthropic_server, openai_server
from tests.typed_calls import ALICE, Company, type_call

type Server = anthropic_server.AnthropicServer | openai_server.OpenAIServer


def words_of(message: dict[str, Any]) -> str:
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    parts = [part.get("text") or part.get("content") or "" for part in content]
    return " ".join(part if isinstance(part, str) else json.dumps(part) for part in parts)


def think(asked: dict[str, Any]) -> list[Any]:
    """A model that follows its instructions, by the caller's last words."""
    last = words_of(asked["messages"][-1])
    if "articles" in last:
        return ["Restart your laptop, then try again. Did that help?"]
    if "VPN" in last:
        return [("search_knowledge", {"query": "VPN disconnects"})]
    if "did not help" in last:
        summary = {"summary": "VPN disconnects", "description": "VPN drops since this morning"}
        return [("open_ticket", summary)]
    if "that is all" in last:
        return [("end_call", {})]
    return ["I see."]


def claude(server: Server) -> Config:
    return Config(anthropic_api_key="test-key", anthropic_base_url=server.base_url)


def gpt(server: Server) -> Config:
    return Config(llm_api_key="test-key", llm_base_url=server.base_url, llm_model="a-model")


VENDORS = [
    pytest.param(anthropic_server.run, claude, id="anthropic"),
    pytest.param(openai_server.run, gpt, id="openai"),
]


@pytest.mark.parametrize(("run", "config"), VENDORS)
async def test_a_call_with_tools_by_a_paid_model(
    company: Company,
    deps: Deps,
    speech: SpeechClient,
    run: Callable[[Any], AbstractContextManager[Server]],
    config: Callable[[Server], Config],
) -> None:
    with run(think) as server:
        result, seen = await type_call(
            company,
            [
                *ALICE,
                "My VPN keeps disconnecting since this morning.",
                "I did that, but it did not help.",
                "Yes, please.",
                "No, that is all.",
            ],
            deps=replace(deps, providers=providers.from_config(config(server), speech)),
        )
    assert result.outcome == "ticket", str(seen)
    assert [name for name, _ in seen.tools] == [
        "search_knowledge", "open_ticket", "open_ticket", "end_call",
    ]  # fmt: skip
    # The model is not asked about what the caller has agreed to, nor what to say of it.
    assert len(server.requests) == 4, [words_of(r["messages"][-1]) for r in server.requests]
    everything = "\n".join(server.bodies)
    for secret in ("471129", "four seven one", "Martin", str(company.tenant.tenant_id), "R-2001"):
        assert secret not in everything
    assert all(request.get("store") is not True for request in server.requests)


@pytest.mark.parametrize(("run", "config"), VENDORS)
async def test_when_the_paid_model_fails_the_engine_answers(
    company: Company,
    deps: Deps,
    speech: SpeechClient,
    run: Callable[[Any], AbstractContextManager[Server]],
    config: Callable[[Server], Config],
) -> None:
    with run(think) as server:
        server.status = 529 if "anthropic" in type(server).__module__ else 503
        _, seen = await type_call(
            company,
            [*ALICE, "My VPN keeps disconnecting since this morning."],
            deps=replace(deps, providers=providers.from_config(config(server), speech)),
        )
        assert server.requests
    assert "Restart your laptop, then connect to the VPN again." in seen.agent, str(seen)
