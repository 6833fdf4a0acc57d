"""The dialogue engine in a language model's place: LiveKit's `llm.LLM`, answered by rules."""
