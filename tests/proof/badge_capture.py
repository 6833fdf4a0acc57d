"""Badge capture: how many synthetic callers are heard the first time, and nobody as another."""

import asyncio
import tempfile
from pathlib import Path

from agent_container.speech.client import SpeechClient
from agent_container.speech.process import start_speech
from tests import voices
from tests.evals import badge_capture as evaluation
from tests.proof import Proof


def measure(full: bool) -> Proof:
    """Let synthetic callers say their names and badges over a telephone line."""
    callers = evaluation.make_callers(evaluation.SIZES["full" if full else "small"])
    results = asyncio.run(_run(callers))
    taken = sum(result.ending == "another person" for result in results)
    broken = [f"{taken} callers were taken for another person"] if taken else []
    english = [r.ending for r in results if r.caller.language == "en" and r.condition == "G.711"]
    if english.count("verified") < 0.9 * len(english):
        broken.append("fewer than nine in ten English callers were verified on a clean line")
    markdown = (
        f"{len(callers)} callers, {2 * len(callers)} utterances, on each line, heard by the offline"
        f' recogniser; "asked again" is no attempt, a wrong badge is one of three.\n\n'
        f"{evaluation.table(results)}"
    )
    return Proof("Badges and names as they are heard", markdown, broken)


async def _run(callers: list[evaluation.Caller]) -> list[evaluation.Result]:
    with tempfile.TemporaryDirectory() as folder:
        process = start_speech(Path(folder) / "speech.sock", voices.CACHE)
        try:
            async with SpeechClient(process.socket) as client:
                return await evaluation.run(client, callers)
        finally:
            process.stop()
