"""One process serves everybody: shared, fair, and closed to what is no request."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from aurion import errors

from agent_container.speech import frames, sounds
from agent_container.speech.client import SpeechClient
from agent_container.speech.process import SpeechProcess, listening, start_speech
from tests import voices
from tests.speech_fixtures import CACHE, PATIENCE_S

ENGLISH = "I already restarted the laptop, but it did not help, so what else can I do about it?"
FRENCH_READY = (
    "Je peux répondre aux questions générales, prendre un message ou vous passer quelqu'un."
)
FRENCH_NEW = "La salle bleue du deuxième étage, celle près du jardin, est réservée par Nadège."


@pytest.fixture
def utterance() -> np.ndarray:
    return sounds.resample(voices.say("What is the status of my laptop order?"), 8_000, 16_000)


@dataclass
class Own:
    """A speech server of the test's own, which it may kill."""

    process: SpeechProcess
    socket: Path
    cache: Path
    log: Path


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Own]:
    cache = tmp_path / "cache"
    cache.mkdir()
    (CACHE / "models").mkdir(parents=True, exist_ok=True)
    (cache / "models").symlink_to(CACHE / "models")
    log = tmp_path / "speech.log"
    with log.open("w") as file:
        process = start_speech(tmp_path / "own.sock", cache, log=file)
        server = Own(process, tmp_path / "own.sock", cache, log)
        yield server
        server.process.stop()


async def first_audio_s(client: SpeechClient, text: str, language: str) -> float:
    started = time.perf_counter()
    async for _ in client.synthesize(text, language=language):
        return time.perf_counter() - started
    raise AssertionError("no audio")


async def test_a_second_start_finds_the_first(speech_process: SpeechProcess) -> None:
    again = await asyncio.to_thread(start_speech, speech_process.socket, CACHE)
    assert again.pid == speech_process.pid
    assert not again.started
    again.stop()
    assert listening(speech_process.socket) == speech_process.pid


async def test_a_second_call_costs_no_second_model(
    speech_process: SpeechProcess, speech: SpeechClient, utterance: np.ndarray
) -> None:
    process = psutil.Process(speech_process.pid)

    async def talk(client: SpeechClient) -> None:
        await client.transcribe(utterance, language="en")
        async for _ in client.synthesize(ENGLISH, language="en"):
            pass
        async for _ in client.synthesize(FRENCH_READY, language="fr"):
            pass
        await client.encode([ENGLISH])

    await talk(speech)
    before = process.memory_info().rss
    async with SpeechClient(speech_process.socket, timeout_s=PATIENCE_S) as second:
        await asyncio.gather(talk(speech), talk(second))
    # The smallest of the models takes 75 MB; what two calls hold for a moment, less.
    assert process.memory_info().rss - before < 60 * 2**20
    assert len(process.children(recursive=True)) == 0


async def test_speaking_does_not_wait_behind_hearing(
    speech: SpeechClient, utterance: np.ndarray
) -> None:
    hearing = [asyncio.create_task(speech.transcribe(utterance, language="en")) for _ in range(3)]
    await asyncio.sleep(0.05)
    await first_audio_s(speech, ENGLISH, "en")
    assert not hearing[-1].done()
    await asyncio.gather(*hearing)


async def test_two_calls_are_heard_in_turn(
    speech_process: SpeechProcess, speech: SpeechClient, utterance: np.ndarray
) -> None:
    order: list[str] = []

    async def hear(client: SpeechClient, name: str) -> None:
        heard = await client.transcribe(utterance, language="en")
        assert "laptop" in heard.text
        order.append(name)

    async with SpeechClient(speech_process.socket, timeout_s=PATIENCE_S) as second:
        tasks: list[asyncio.Task[None]] = []
        for client, name in ((speech, "a1"), (second, "b1"), (speech, "a2"), (second, "b2")):
            tasks.append(asyncio.create_task(hear(client, name)))
            await asyncio.sleep(0.05)
        await asyncio.gather(*tasks)
    assert order == ["a1", "b1", "a2", "b2"]


async def test_ready_made_french_starts_as_fast_as_english(speech: SpeechClient) -> None:
    english, french = [], []
    for _ in range(5):
        english.append(await first_audio_s(speech, ENGLISH, "en"))
        french.append(await first_audio_s(speech, FRENCH_READY, "fr"))
    assert min(french) < 1.5 * min(english)


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        frames.pack({"op": "health"}),
        frames.pack({"id": "one", "op": "health"}),
        b"\x00\x00\x00\x02\x00\x00\x00\x09{}x",
    ],
)
async def test_what_is_no_request_closes_only_its_own_connection(
    speech_process: SpeechProcess, speech: SpeechClient, data: bytes
) -> None:
    reader, writer = await asyncio.open_unix_connection(speech_process.socket)
    writer.write(data)
    writer.write_eof()
    async with asyncio.timeout(PATIENCE_S):
        assert await reader.read() == b""
    writer.close()
    assert (await speech.health())["pid"] == speech_process.pid


async def test_what_the_server_cannot_do_is_refused(
    speech: SpeechClient, utterance: np.ndarray
) -> None:
    with pytest.raises(errors.SpeechRejected):
        await speech.transcribe(utterance, language="xx")
    with pytest.raises(errors.SpeechRejected):
        await speech.transcribe(np.zeros(0, np.int16), language="en")
    with pytest.raises(errors.SpeechRejected):
        await anext(speech.synthesize("Hola", language="es"))
    with pytest.raises(errors.SpeechRejected):
        await speech.encode(["x"] * 1000)
    assert (await speech.transcribe(utterance, language="en")).text


async def test_whoever_waits_is_told_of_a_failure_nobody_foresaw(
    speech: SpeechClient, utterance: np.ndarray
) -> None:
    no_text: Any = ["a prompt is a text"]
    async with asyncio.timeout(10):
        with pytest.raises(errors.SpeechUnavailable):
            await speech.transcribe(utterance, language="en", prompt=no_text)
    assert (await speech.transcribe(utterance, language="en")).text


async def test_the_health_says_which_voice_is_a_robot(speech: SpeechClient) -> None:
    voiced = (await speech.health())["voices"]
    robots = {language for language, voice in voiced.items() if voice["robotic"]}
    assert robots == {"nl", "de"}
    assert set(voiced) == {"en", "fr", "nl", "de"}


async def test_a_request_out_of_time_leaves_the_queue(own: Own, utterance: np.ndarray) -> None:
    async with SpeechClient(own.socket, timeout_s=PATIENCE_S) as speech:
        first = asyncio.create_task(speech.transcribe(utterance, language="en"))
        await asyncio.sleep(0.05)
        for _ in range(12):
            with pytest.raises(errors.SpeechUnavailable):
                await speech.transcribe(utterance, language="en", timeout_s=0.02)
        await first
        async with asyncio.timeout(1):  # hearing twelve utterances takes longer
            while (await speech.health())["waiting"]["hearing"]:
                await asyncio.sleep(0.02)


async def test_a_caller_who_hangs_up_leaves_no_work_behind(
    speech_process: SpeechProcess, speech: SpeechClient, utterance: np.ndarray
) -> None:
    gone = SpeechClient(speech_process.socket, timeout_s=PATIENCE_S)
    await gone.connect()
    asked = [asyncio.create_task(gone.transcribe(utterance, language="en")) for _ in range(20)]
    await asyncio.sleep(0.2)
    await gone.aclose()
    results = await asyncio.gather(*asked, return_exceptions=True)
    assert all(isinstance(result, errors.SpeechUnavailable) for result in results)
    started = time.perf_counter()
    await speech.transcribe(utterance, language="en")
    alone = time.perf_counter()
    await speech.transcribe(utterance, language="en")
    # the one that was running may still be in the way, the nineteen behind it may not
    assert alone - started < 4 * (time.perf_counter() - alone)


async def test_an_interrupted_reply_is_not_rendered_to_its_end(speech: SpeechClient) -> None:
    text = " ".join(f"Voici la phrase numéro {n}, qui est assez longue." for n in range(40))
    speaking = speech.synthesize(text, language="fr")
    await anext(speaking)
    await speaking.aclose()
    async with asyncio.timeout(5):  # forty sentences take far longer
        while (await speech.health())["open"] > 1:
            await asyncio.sleep(0.05)
    assert await first_audio_s(speech, FRENCH_NEW, "fr") > 0


async def test_a_killed_server_is_reported_and_found_again(own: Own, utterance: np.ndarray) -> None:
    async with SpeechClient(own.socket, timeout_s=PATIENCE_S) as client:
        flying = asyncio.create_task(client.transcribe(utterance, language="en"))
        await asyncio.sleep(0.05)
        os.kill(own.process.pid, signal.SIGKILL)
        with pytest.raises(errors.SpeechUnavailable):
            await flying
        with pytest.raises(errors.SpeechUnavailable):
            await client.health()
        own.process.stop()
        own.process = await asyncio.to_thread(start_speech, own.socket, own.cache)
        assert (await client.health())["pid"] == own.process.pid
        heard = await client.transcribe(utterance, language="en")
        assert "laptop" in heard.text


async def test_nothing_of_a_caller_is_written_down(own: Own, utterance: np.ndarray) -> None:
    canary = "Le perroquet Zéphyrin habite au numéro 998877."
    async with SpeechClient(own.socket, timeout_s=PATIENCE_S) as client:
        async for _ in client.synthesize(canary, language="fr"):
            pass
        await client.transcribe(utterance, language="en", prompt=canary)
        await client.encode([canary])
        with pytest.raises(errors.SpeechRejected):
            await anext(client.synthesize(canary, language="es"))
        with pytest.raises(errors.SpeechRejected):
            await client.transcribe(utterance, language=canary)
    reader, writer = await asyncio.open_unix_connection(own.socket)
    writer.write(frames.pack({"id": 1, "op": canary}))
    writer.write(frames.pack({"id": 2, "op": "synthesize", "text": canary}))
    assert [(await frames.read(reader)) is not None for _ in range(2)] == [True, True]
    writer.write(frames.pack({"id": canary, "op": "encode"}))
    await writer.drain()
    writer.close()
    async with SpeechClient(own.socket, timeout_s=PATIENCE_S) as client:
        await client.prepare(["Bonjour, vous êtes chez Meridian."], language="fr")
        await client.health()
    written = [file for file in own.cache.rglob("*") if file.is_file()]
    kept = [file for file in written if "renderings" in file.parts]
    assert [file.suffix for file in kept] == [".opus"]
    for secret in ("perroquet", "Zéphyrin", "998877", "laptop"):
        assert secret.encode() not in own.log.read_bytes()
        assert not any(secret in file.name for file in written)


async def test_a_prepared_greeting_starts_at_once(own: Own) -> None:
    greeting = "Bonjour, vous êtes au support informatique de Meridian Works."
    async with SpeechClient(own.socket, timeout_s=PATIENCE_S) as client:
        cold = await first_audio_s(client, greeting, "fr")
        await client.prepare([greeting], language="fr")
        warm = await first_audio_s(client, greeting, "fr")
    assert warm < cold / 3


async def test_the_server_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    program = (
        "import sys, time\nfrom pathlib import Path\n"
        "from agent_container.speech.process import start_speech\n"
        f"print(start_speech(Path({str(tmp_path / 's.sock')!r}), Path({str(CACHE)!r})).pid,"
        " flush=True)\ntime.sleep(600)\n"
    )
    starter = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert starter.stdout is not None
    pid = int(await asyncio.to_thread(starter.stdout.readline))
    starter.kill()
    starter.wait()
    starter.stdout.close()
    async with asyncio.timeout(PATIENCE_S):
        while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            await asyncio.sleep(0.1)
    assert listening(tmp_path / "s.sock") is None
