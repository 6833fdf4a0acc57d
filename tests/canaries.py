"""Calls in which a badge is said again and again, and whether anything of it is left anywhere."""

import asyncio
import json
import wave
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from agent_container.speech.client import SpeechClient
from local.caller import read_audio
from local.scan.forms import canary, find
from local.scan.sound import Sound, broken_intervals, utterances
from tests import voices
from tests.providers import anthropic_server
from tests.providers.anthropic_server import AnthropicServer
from tests.stack_calls import PATIENCE_S, Phone, PlacedCall, files_of

BADGES = {"alice": "471129", "tom": "803556", "claire": "290416"}
LANGUAGES = {"alice": "en", "claire": "fr"}
_RATE = 8_000
_PAUSE_S = 0.9  # long enough to make two utterances of one sentence
_SPARE_MS = 4_000  # of silence around an utterance: until its end is noticed, whole frames, overlap

# Said after verification: in words, and split over two utterances ("|" is the pause).
VOLUNTEERED = {
    "en": (
        "My badge four seven one one two nine does not open the door.",
        "My badge number is four seven one|one two nine, in case you need it.",
    ),
    "fr": (
        "Mon badge deux neuf zéro quatre un six n'ouvre plus la porte.",
        "Mon numéro de badge, c'est deux neuf zéro|quatre un six, si vous en avez besoin.",
    ),
}


@dataclass(slots=True)
class CanaryCall:
    """One such call: whose, the badge spoken or keyed, by the engine or Claude, how it ends."""

    who: str
    keyed: bool = False
    claude: bool = False
    person: bool = False
    placed: PlacedCall | None = None
    colleague: str | None = None

    @property
    def name(self) -> str:
        return f"{self.who}, {'keyed' if self.keyed else 'spoken'}, " + (
            "Claude" if self.claude else "engine"
        )

    @property
    def harmless(self) -> tuple[Path, ...]:
        """The sentences after verification that hold no badge, and so must be on the recording."""
        files = files_of(self.who)
        last = files_of("tom")[4] if self.person else files[-1]
        return (files[2], last) if self.claude else (last,)


@dataclass(slots=True)
class CanaryCalls:
    """The calls, what a search for the badges found, and what the provider was sent."""

    calls: list[CanaryCall]
    bodies: list[str] = field(default_factory=list)
    scan: dict[str, Any] = field(default_factory=dict)


def say_volunteered(folder: Path, language: str) -> list[Path]:
    """Make the sentences that hold the badge."""
    folder.mkdir(exist_ok=True)
    files: list[Path] = []
    for number, text in enumerate(VOLUNTEERED[language]):
        parts = [voices.say(part, language) for part in text.split("|")]
        pause = np.zeros(int(_PAUSE_S * _RATE), np.int16)
        sound = np.concatenate([piece for part in parts for piece in (part, pause)][:-1])
        file = folder / f"volunteered-{language}-{number}.wav"
        with wave.open(str(file), "wb") as out:
            out.setnchannels(1)
            out.setsampwidth(2)
            out.setframerate(_RATE)
            out.writeframes(sound.tobytes())
        files.append(file)
    return files


def echo(asked: dict[str, Any]) -> list[Any]:
    """Be a model that hands on whatever it is told: a badge that reached it would be spoken."""
    content = asked["messages"][-1]["content"]
    if not isinstance(content, str):
        content = " ".join(block.get("text") or "" for block in content)
    return [f"You said: {content.strip() or 'nothing'}"]


@contextmanager
def claude() -> Iterator[AnthropicServer]:
    """Serve such a model by the vendor's protocol."""
    with anthropic_server.run(echo) as server:
        yield server


def hold(phone: Phone, call: CanaryCall, server: AnthropicServer) -> None:
    """Hold one call from its beginning to its end."""
    files = files_of(call.who)
    said = say_volunteered(phone.stack.home.parent / "said", LANGUAGES[call.who])
    *before, last = call.harmless
    keys = ["--keys", BADGES[call.who]] if call.keyed else []
    paid = {"ANTHROPIC_API_KEY": server.api_key, "ANTHROPIC_BASE_URL": server.base_url}
    call.placed = phone.play(
        f"canary-{call.who}",
        [*files[:2], *before, *said, last],
        *keys,
        environment=paid if call.claude else {},
    )
    if call.person:
        call.colleague = phone.answer_transfer(call.placed)
    call.placed.end_in_order()


def search(
    phone: Phone, calls: Sequence[CanaryCall], server: AnthropicServer, *, listen: bool
) -> CanaryCalls:
    """Search every sink for the callers' badges; what the provider was sent is one of them.

    With `listen` every recording is transcribed again, which takes a while; these calls' own are
    heard again by `faults` anyway.
    """
    badges = {BADGES[call.who] for call in calls}
    kept = phone.stack.home / "providers" / "claude.jsonl"
    kept.write_text("".join(json.dumps(body) + "\n" for body in server.bodies))
    how = [] if listen else ["--no-listen"]
    searched = phone.stack.run("scan", "--json", *how, stdin="\n".join(badges))
    assert searched.stdout, searched.stderr[-3000:]
    return CanaryCalls(list(calls), list(server.bodies), json.loads(searched.stdout))


def faults(phone: Phone, call: CanaryCall, *, listen: bool = True) -> list[str]:
    """Say what is wrong with a call or its recording; `listen` has it understood again."""
    assert call.placed is not None
    found: list[str] = []
    row, recording = call.placed.report, phone.recording(call.placed)
    if row["level"] != 1:
        found.append(f"level {row['level']}")
    said_by_caller = [turn["text"] for turn in row["turns"] if turn["speaker"] == "caller"]
    redacted = [text for text in said_by_caller if "[redacted: badge]" in text]
    if len(redacted) < 3:
        found.append(f"{len(redacted)} turns were redacted, not one at least for each badge said")
    if recording is None or recording["status"] != "stored":
        return [*found, f"the recording is {recording and recording['status']}"]
    sound, guarded = phone.sound(call.placed), recording["guarded_intervals"]
    if guarded[0][0] != 0:
        found.append("the call doesn't begin guarded")
    found += [f"sound in a guarded stretch at {ms} ms" for ms in broken_intervals(sound, guarded)]
    after = [(start, end) for start, end in guarded if start > guarded[0][1]]
    if len(after) < 2:
        found.append(f"{len(after)} guarded stretches after verification: {guarded}")
    said = say_volunteered(phone.stack.home.parent / "said", LANGUAGES[call.who])
    spoken_ms = sum(len(read_audio(file)) // 16 for file in said)
    muted_ms = sum(end - start for start, end in after)
    if muted_ms > spoken_ms + _SPARE_MS * len(said):
        found.append(f"{muted_ms} ms are silence for {spoken_ms} ms of badge")
    for file in call.harmless:
        likeness = best_match(sound[0], read_audio(file))
        if likeness < 0.9:
            found.append(f"{file.parent.name}/{file.name} is not on the recording ({likeness:.2f})")
    for file in said:
        likeness = best_match(sound[0], read_audio(file))
        if likeness > 0.5:
            found.append(f"{file.name} is on the recording ({likeness:.2f})")
    if listen:
        said_again = asyncio.run(hear_again(phone, sound, LANGUAGES[call.who]))
        wanted = [canary(badge, number) for number, badge in enumerate(BADGES.values(), start=1)]
        if find(said_again.encode(), wanted):
            found.append("the badge can be heard on the recording")
        if len(said_again.split()) < 5:
            found.append("nothing can be understood on the recording")
    if np.abs(sound[1][: guarded[0][1] * 48]).max() < 0.1:
        found.append("the agent's greeting is not on the recording")
    return found


async def hear_again(phone: Phone, sound: Sound, language: str) -> str:
    """Return what a recogniser makes of the caller's side of a recording."""
    async with SpeechClient(phone.stack.state["speech_socket"], timeout_s=PATIENCE_S) as speech:
        heard = [
            (await speech.transcribe(piece, language=language)).text
            for piece in utterances(sound[0])
        ]
    return " ".join(heard)


def best_match(channel: Sound, samples: np.ndarray) -> float:
    """Find 16 kHz samples anywhere in a channel of 48 kHz; 1 is the very same sound."""
    heard = channel[: len(channel) // 3 * 3].reshape(-1, 3).mean(axis=1).astype(np.float64)
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > 200)
    wanted = samples[loud[0] : loud[-1]].astype(np.float64)
    if len(heard) < len(wanted):
        return 0.0
    size = 1 << (len(heard) + len(wanted)).bit_length()
    product = np.fft.rfft(heard, size) * np.conj(np.fft.rfft(wanted, size))
    places = len(heard) - len(wanted) + 1
    together = np.fft.irfft(product, size)[:places]
    energy = np.concatenate([[0.0], np.cumsum(np.square(heard))])
    there = energy[len(wanted) :] - energy[:places]
    weight = np.sqrt(np.maximum(there, 0) * np.square(wanted).sum())
    likeness = together[weight > 1e-6 * weight.max()] / weight[weight > 1e-6 * weight.max()]
    return float(likeness.max(initial=0.0))
