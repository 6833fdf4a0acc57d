"""What of the agent can be set from outside: which models think, and how patient it is."""

import os
from dataclasses import dataclass

# Seconds. The caller's patience, not ours, decides these.
END_OF_SPEECH_S = 0.5
SPECULATE_AFTER_S = 0.2
CONTINUATION_S = 1.5
SILENCE_S = 9.0
DESK_SILENCE_S = 20.0
TRANSFER_S = 20.0
COMMIT_S = 1.5
HEARTBEAT_S = 8.0


CLAUDE = "claude-sonnet-4-6"
GPT = "gpt-5.4-mini"


@dataclass(frozen=True, slots=True)
class Config:
    """Hold the language models' keys, addresses and names; each field is a variable of its name."""

    anthropic_api_key: str | None = None
    anthropic_base_url: str | None = None
    anthropic_model: str = CLAUDE
    llm_api_key: str | None = None
    llm_base_url: str | None = None
    llm_model: str = GPT

    @classmethod
    def from_environment(cls) -> "Config":
        """Read the process environment; unset variables keep their defaults."""
        return cls(
            anthropic_api_key=os.environ.get("ANTHROPIC_API_KEY") or None,
            anthropic_base_url=os.environ.get("ANTHROPIC_BASE_URL") or None,
            anthropic_model=os.environ.get("ANTHROPIC_MODEL") or CLAUDE,
            llm_api_key=os.environ.get("LLM_API_KEY") or None,
            llm_base_url=os.environ.get("LLM_BASE_URL") or None,
            llm_model=os.environ.get("LLM_MODEL") or GPT,
        )
