"""How long a caller waits: end of speech to first sound, English and French."""

import asyncio
import os
import statistics
from collections.abc import Sequence

from agent_container import providers
from agent_container.call import Deps
from agent_container.config import Config
from agent_container.speech.client import SpeechClient
from tests import speech_fixtures
from tests.heard_calls import hold_call
from tests.parts import Parts, run_parts
from tests.proof import Proof
from tests.stack_calls import files_of

LANGUAGES = {"alice": "English", "tom": "English", "claire": "French"}
# The sentence that is answered when the badge has been checked: never before a fixed time.
_BADGE = 1


def measure(full: bool) -> Proof:
    """Let each caller call, one at a time, and time every reply where the caller hears it."""
    calls = ("alice", "tom", "claire", "claire") * 3 if full else ("alice", "tom", "claire")
    broken: list[str] = []
    served: dict[str, list[int]] = {"English": [], "French": []}
    checked: dict[str, list[int]] = {"English": [], "French": []}
    load = os.getloadavg()[0]
    with run_parts(speech=True) as parts:
        for who in calls:
            reply_ms, outcome = asyncio.run(_call(parts, who))
            if outcome not in ("ticket", "callback"):
                broken.append(f"{who}'s call ended as {outcome}")
            for number, waited in enumerate(reply_ms):
                (checked if number == _BADGE else served)[LANGUAGES[who]].append(waited)
    lines = [
        "| Language | Replies | p50 | p95 | slowest | after the badge, p50 |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for language, waits in served.items():
        if len(waits) < 3:
            broken.append(f"{len(waits)} replies in {language}")
            continue
        lines.append(
            f"| {language} | {len(waits)} | {_ms(statistics.median(waits))} |"
            f" {_ms(percentile(waits, 95))} | {_ms(max(waits))} |"
            f" {_ms(statistics.median(checked[language]))} |"
        )
    lines += [
        "",
        "From the last audible sample of the caller to the first one of the agent, measured on the"
        " line: end-of-speech detection, recognition (Whisper base), the dialogue engine, the desk"
        " and the voice, all on this machine, one call at a time. The answer to a badge waits for a"
        f" fixed floor, so that it tells nothing. Load average at the start: {load:.1f}.",
    ]
    return Proof("Reply times", "\n".join(lines), broken)


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the value that so many percent of the values do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


async def _call(parts: Parts, who: str) -> tuple[list[int], str]:
    async with SpeechClient(parts.speech_socket, timeout_s=speech_fixtures.PATIENCE_S) as speech:
        deps = Deps(
            speech=speech,
            providers=providers.from_config(Config(), speech),
            recordings=parts.folder / "recordings",
            transfer_s=2.0,
        )
        heard = await hold_call(parts.company, files_of(who), deps=deps)
    return heard.reply_ms, heard.result.outcome


def _ms(value: float) -> str:
    return f"{value / 1000:.2f} s"
