"""Callers made by synthesis, and what a telephone line does to them, at 8 kHz."""

import hashlib
from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
from hibari import Hibari

from agent_container.speech import models, sounds
from agent_container.speech.kokoro import Kokoro

CACHE = Path(__file__).parents[1] / ".local" / "cache"
LINE_RATE = 8_000
_DATA = Path(__file__).parent / "data" / "voices"
_STYLES = {
    "am_michael": "1d1f21dd8da39c30705cd4c75d039d265e9bc4a2a93ed09bc9e1b1225eb95ba1",
    "bf_emma": "669fe0647f9dd04fcab92f1439a40eeb4c8b4ab1f82e4996fe3d918ce4a63b73",
}
type Voice = Literal["hibari", "ff_siwis", "am_michael", "bf_emma"]
VOICES: dict[str, tuple[Voice, ...]] = {
    "en": ("hibari", "am_michael", "bf_emma"),
    "fr": ("ff_siwis", "am_michael", "bf_emma"),
}


def say(text: str, language: str = "en", voice: Voice | None = None) -> np.ndarray:
    """Return words over a clean telephone line: int16, 8 kHz, G.711 mu-law, 300-3400 Hz."""
    return telephone(sounds.resample(studio(text, language, voice), 24_000, LINE_RATE))


def studio(text: str, language: str = "en", voice: Voice | None = None) -> np.ndarray:
    """Return words as the voice made them: int16, 24 kHz. Made once, then kept on disk."""
    voice = voice or VOICES[language][0]
    name = hashlib.sha256(f"{voice}|{language}|{text}".encode()).hexdigest()[:24]
    file = CACHE / "callers" / f"{name}.npy"
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        pcm = _render(text, language, voice)
        unfinished = file.with_suffix(f".{id(pcm)}.part.npy")
        np.save(unfinished, pcm)
        unfinished.replace(file)
    return np.load(file)


def telephone(pcm: np.ndarray) -> np.ndarray:
    """Pass int16 samples at 8 kHz through the band and the companding of a telephone line."""
    spectrum = np.fft.rfft(pcm.astype(np.float64))
    frequency = np.fft.rfftfreq(len(pcm), 1 / LINE_RATE)
    spectrum[(frequency < 300) | (frequency > 3400)] = 0
    return mu_law(np.fft.irfft(spectrum, len(pcm)).clip(-32768, 32767).astype(np.int16))


def mu_law(pcm: np.ndarray) -> np.ndarray:
    """Encode and decode int16 samples as G.711 mu-law does: 8 bits, 14-bit range."""
    bias, clip = 0x84, 32_635
    size = np.minimum(np.abs(pcm.astype(np.int32)), clip) + bias
    exponent = np.floor(np.log2(size)).astype(np.int32) - 7
    mantissa = (size >> (exponent + 3)) & 0x0F
    back = (((mantissa << 3) + bias) << exponent) - bias
    return (np.sign(pcm) * back).clip(-32768, 32767).astype(np.int16)


def lose_packets(pcm: np.ndarray, share: float = 0.03, seed: int = 1) -> np.ndarray:
    """Silence a share of the 20 ms packets, as a line without concealment does."""
    packet = LINE_RATE // 50
    lossy = pcm.copy()
    for at in np.flatnonzero(np.random.default_rng(seed).random(-(-len(pcm) // packet)) < share):
        lossy[at * packet : (at + 1) * packet] = 0
    return lossy


def babble(pcm: np.ndarray, snr_db: float, seed: int = 1) -> np.ndarray:
    """Put a caller (8 kHz) into a room where six others talk, at a signal-to-noise ratio in dB."""
    crowd = _crowd()
    start = int(np.random.default_rng(seed).integers(len(crowd) - 1))
    noise = np.resize(np.roll(crowd, -start), len(pcm))
    loud = np.sqrt(np.mean(np.square(pcm.astype(np.float64))))
    gain = loud / np.sqrt(np.mean(np.square(noise))) / 10 ** (snr_db / 20)
    return mu_law((pcm + noise * gain).clip(-32768, 32767).astype(np.int16))


def noise(seconds: float, level: float = 30.0, seed: int = 1) -> np.ndarray:
    """Return the hiss of an open line: int16, 8 kHz, of that standard deviation."""
    samples = np.random.default_rng(seed).normal(0, level, int(seconds * LINE_RATE))
    return samples.clip(-32768, 32767).astype(np.int16)


@cache
def _crowd() -> np.ndarray:
    lines = (
        "We moved the meeting to Thursday because the room was taken all week.",
        "Can somebody tell the courier that the parcel is on the second floor?",
        "She said the numbers look better than last year, but not by much.",
        "I left my umbrella at the station again, it is the third one this month.",
        "They are painting the hallway, so please use the stairs on the other side.",
        "Have you tried the new place around the corner, the soup is wonderful.",
    )
    voices = VOICES["en"]
    talk = [say(line, "en", voices[n % len(voices)]) for n, line in enumerate(lines)]
    longest = max(map(len, talk))
    return np.sum([np.resize(part, longest).astype(np.float64) for part in talk], axis=0)


def _render(text: str, language: str, voice: Voice) -> np.ndarray:
    if voice == "hibari":
        return sounds.trim(sounds.from_float(_hibari()(text, seed=1)))
    if voice == "ff_siwis":
        style = models.french_voice()
    else:
        style = models.kokoro_voice(_DATA / f"{voice}.bin", _STYLES[voice])
    spoken = {"en": "en-us"}.get(language, language)
    return _kokoro().speak(text, voice=style, language=spoken)


@cache
def _hibari() -> Hibari:
    return Hibari(threads=1)


@cache
def _kokoro() -> Kokoro:
    return Kokoro(models.kokoro_file(CACHE / "models"), threads=1)
