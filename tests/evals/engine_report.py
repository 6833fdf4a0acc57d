"""Print how well the engine understands and acts: `python -m tests.evals.engine_report`."""

import asyncio

from agent_container.engine import intents
from tests.evals.cases import desk, dialogues
from tests.evals.evaluation import LANGUAGES, LocalEncoder, score_actions, score_intents
from tests.evals.text_calls import TextCall


async def main() -> None:
    """Print one table as it stands in docs/benchmarks.md, then what was missed."""
    encoder = LocalEncoder()
    scores = [
        await score_actions(encoder, language, await score_intents(encoder, language))
        for language in LANGUAGES
    ]
    print(f"Trained on {len(intents.examples())} sentences in four languages.\n")
    print(
        "| language | utterances | intent right | out of scope refused "
        "| asked for, done | wrong actions |"
    )
    print("|---|---|---|---|---|---|")
    for score in scores:
        print(
            f"| {score.language} | {score.cases} | {score.accuracy:.1%} "
            f"| {score.refused}/{score.outside} | {score.acted}/{score.wanted} "
            f"| {len(score.wrong)} |"
        )
    passed, total = await _dialogues(encoder)
    print(f"\nWhole calls with exactly the expected tool calls and words: {passed}/{total}")
    for score in scores:
        for line in [*score.missed, *(f"WRONG ACTION {wrong}" for wrong in score.wrong)]:
            print(f"- {score.language}: {line}")


async def _dialogues(encoder: LocalEncoder) -> tuple[int, int]:
    passed = 0
    for dialogue in dialogues():
        async with TextCall(encoder, desk(dialogue.get("desk", {}))) as call:
            right = True
            for expected in dialogue["turns"]:
                turn = await call.say(expected["say"])
                right = right and turn.tools == expected.get("calls", [])
                right = right and turn.done == expected.get("done", [])
                right = right and all(part in turn.said for part in expected.get("hears", []))
            passed += right
    return passed, len(dialogues())


if __name__ == "__main__":
    asyncio.run(main())
