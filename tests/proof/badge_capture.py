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
    broken: list[str] = []
    for (language, condition), group in evaluation.by_line(results).items():
        line = f"{language}, {condition}"
        tries = [ending for result in group for ending in result.endings]
        if "another person" in tries:
            broken.append(f"{line}: a caller was taken for another person")
        if tries.count("wrong badge") > max(0.03 * len(tries), 0 if full else 1):
            broken.append(f"{line}: more than 3 % of the tries evaluated a wrong badge")
        if language == "en" and tries.count("verified") < 0.95 * len(group):
            broken.append(f"{line}: fewer than 95 % were verified within two tries")
    markdown = (
        f"{len(callers)} callers on each line, heard by the offline recogniser; each says name and"
        f' badge, and once more when that was not enough. "Asked again" is no attempt, a wrong'
        f" badge or an unknown name is one of three.\n\n{evaluation.table(results)}"
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
