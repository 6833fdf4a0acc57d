"""The engine itself: replay the call from its history, understand the last utterance, decide."""

import asyncio
from collections.abc import Iterable, Sequence

import numpy as np

from agent_container.engine import answers, cues, intents, policy, states, understanding
from agent_container.engine.history import Exchange
from agent_container.engine.intents import Encoder
from agent_container.engine.regression import Regression, Vectors
from agent_container.engine.situations import Move, Situation
from agent_container.engine.states import State
from agent_container.engine.understanding import IN_STEPS, Understanding


class Dialogue:
    """Answer one call in one language.

    It keeps no state but sentence vectors: any process that holds the history can go on.
    """

    def __init__(self, encoder: Encoder, *, language: str, company: str) -> None:
        self._encoder = encoder
        self._company = company
        self._language = language
        self._answers = answers.in_language(language)
        self._cues = cues.in_language(language)
        self._model: Regression | None = None
        self._vectors: dict[str, Vectors] = {}
        self._loading = asyncio.Lock()

    async def warm_up(self) -> None:
        """Load the classifier and let the encoder load its own model."""
        await self._classifier()
        await self._encode(["hello"])

    async def respond(self, exchanges: Sequence[Exchange], tools: Iterable[str]) -> Move:
        """Return what to say and which of the offered tools to call next."""
        model = await self._classifier()
        await self._encode(
            [
                part
                for exchange in exchanges
                for part in understanding.parts(exchange.heard, self._cues)
            ]
        )
        state = State()
        last = exchanges[-1]
        for exchange in exchanges[:-1]:
            if exchange.heard or exchange.redacted:
                await self._hear(state, exchange, model)
            states.look_up(state, exchange)
            states.answered(state, exchange, self._answers)
        if not (last.heard or last.redacted):
            heard = Understanding("silence", 1.0, "")
            return policy.opening(self._situation(state, heard, last, tools))
        heard = await self._hear(state, last, model)
        states.look_up(state, last)
        return await policy.decide(self._situation(state, heard, last, tools))

    async def understand(
        self, text: str, *, asked: str | None = None, in_steps: bool = False
    ) -> Understanding:
        """Understand one utterance by itself, after a question."""
        model = await self._classifier()
        await self._encode(understanding.parts(text, self._cues))
        return self._understood(text, model, asked=asked, in_steps=in_steps)

    async def similarity(self, text: str, others: Sequence[str]) -> list[float]:
        """Return how alike a text is to each of the others, as cosines."""
        await self._encode([text, *others])
        return [float(self._vectors[text] @ self._vectors[other]) for other in others]

    async def _hear(self, state: State, exchange: Exchange, model: Regression) -> Understanding:
        understood = self._understood(
            exchange.heard,
            model,
            asked=state.asked,
            in_steps=state.topic is not None and state.asked in (*IN_STEPS, "consent", None),
        )
        return await states.listen(state, exchange, understood, self.similarity)

    def _understood(
        self, text: str, model: Regression, *, asked: str | None, in_steps: bool
    ) -> Understanding:
        return understanding.understand(
            text,
            language=self._language,
            cues=self._cues,
            model=model,
            vectors=self._vectors,
            asked=asked,
            in_steps=in_steps,
        )

    def _situation(
        self, state: State, heard: Understanding, exchange: Exchange, tools: Iterable[str]
    ) -> Situation:
        return Situation(
            state=state,
            heard=heard,
            exchange=exchange,
            tools=frozenset(tools),
            answers=self._answers,
            cues=self._cues,
            company=self._company,
            similarity=self.similarity,
        )

    async def _classifier(self) -> Regression:
        async with self._loading:
            if self._model is None:
                self._model = await intents.load(self._encoder)
        return self._model

    async def _encode(self, texts: Iterable[str]) -> None:
        missing = [text for text in dict.fromkeys(texts) if text not in self._vectors]
        if missing:
            rows = np.asarray(await self._encoder.encode(missing), dtype=np.float32)
            self._vectors.update(zip(missing, rows, strict=True))
