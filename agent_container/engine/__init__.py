"""The deterministic dialogue engine: a language model's place taken by rules and sentence vectors.

It answers when no provider's key is set, so that the desk works on one machine, and so that tests
run the very agent and tools that a large model drives.
"""

from agent_container.engine.llm import EngineLLM

__all__ = ["EngineLLM"]
