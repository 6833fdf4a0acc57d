"""Sentences rendered before anybody calls: the pack that comes with the code, and a cache.

A slow voice (Kokoro takes a third of a second for each second it says) must not make callers wait
for sentences that are always the same. Both stores hold one small Ogg/Opus file a sentence, found
by what is said and in which voice.
"""

import hashlib
import json
import logging
import os
import tempfile
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agent_container.speech import sounds

log = logging.getLogger(__name__)
PACK = Path(__file__).parent / "ready"
_DECODED_SAMPLES = 24_000 * 300  # five minutes of decoded sentences stay in memory
_CACHE_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Entry:
    """Say where in the pack's sound file one sentence lies."""

    text: str
    at: int
    size: int
    samples: int


def key(voice: str, spoken: str) -> str:
    """Name the rendering of one sentence, as it is said, in one voice."""
    return hashlib.sha256(f"{voice}\n{spoken}".encode()).hexdigest()[:24]


class Pack:
    """Read the sentences that come with the code."""

    def __init__(self, folder: Path = PACK, name: str = "fr") -> None:
        self._sound = b""
        self.entries: dict[str, Entry] = {}
        index = folder / f"{name}.json"
        if index.is_file():
            described = json.loads(index.read_text())
            self._sound = (folder / f"{name}.opus").read_bytes()
            if hashlib.sha256(self._sound).hexdigest() == described["sha256"]:
                for found, entry in described["sentences"].items():
                    self.entries[found] = Entry(**entry)
            else:
                log.warning("the ready-made sentences and their index do not belong together")
        self._decoded: OrderedDict[str, np.ndarray] = OrderedDict()

    def find(self, name: str) -> np.ndarray | None:
        """Return a sentence's samples (int16, 24 kHz), or None."""
        if name in self._decoded:
            self._decoded.move_to_end(name)
            return self._decoded[name]
        entry = self.entries.get(name)
        if entry is None:
            return None
        pcm = sounds.from_opus(self.encoded(entry), entry.samples)
        self._decoded[name] = pcm
        while sum(map(len, self._decoded.values())) > _DECODED_SAMPLES:
            self._decoded.popitem(last=False)
        return pcm

    def encoded(self, entry: Entry) -> bytes:
        """Return a sentence's Ogg/Opus file."""
        return self._sound[entry.at : entry.at + entry.size]


class Cache:
    """Keep on disk what a company says often; never anything of a caller."""

    def __init__(self, folder: Path, limit: int = _CACHE_BYTES) -> None:
        self._folder = folder
        self._limit = limit

    def has(self, name: str) -> bool:
        """Say whether a rendering is kept."""
        return (self._folder / f"{name}.opus").is_file()

    def find(self, name: str) -> np.ndarray | None:
        """Return a kept rendering (int16, 24 kHz), or None."""
        file = self._folder / f"{name}.opus"
        try:
            data = file.read_bytes()
            os.utime(file)
        except FileNotFoundError:
            return None
        samples, opus = int.from_bytes(data[:4]), data[4:]
        return sounds.from_opus(opus, samples)

    def keep(self, name: str, pcm: np.ndarray) -> None:
        """Write a rendering; the least recently used ones go when the folder grows too large."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=self._folder, suffix=".part", delete=False) as out:
            out.write(len(pcm).to_bytes(4) + sounds.to_opus(pcm))
        Path(out.name).replace(self._folder / f"{name}.opus")
        files = sorted(self._folder.glob("*.opus"), key=lambda file: file.stat().st_mtime)
        total = sum(file.stat().st_size for file in files)
        for file in files:
            if total <= self._limit:
                break
            total -= file.stat().st_size
            file.unlink(missing_ok=True)
