"""Lay the models out in a folder, whole and checked, as a container's image holds them.

Run as `python -m agent_container.speech.prepare FOLDER` while the image is built. The weights come
from packages, in parts; joined here, they are neither joined nor hashed again at each start. Then
everything is used once, so that a model that can't be loaded fails the build and not a release.
"""

import argparse
import logging
import os
import sys
from pathlib import Path

import numpy as np

from agent_container.speech import models

WHISPER = "whisper"
KOKORO = "kokoro.onnx"


def prepare(folder: Path) -> dict[str, str]:
    """Lay the models out; return the variables that name them.

    Raises:
        SpeechModelMissing: No package holds the weights.
        SpeechModelDamaged: The weights' sha256 is not the published one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    joined = folder / "joined"
    whisper = models.whisper_folder(joined).replace(folder / WHISPER)
    kokoro = models.kokoro_file(joined).replace(folder / KOKORO)
    for left in sorted(joined.rglob("*"), reverse=True):
        left.rmdir() if left.is_dir() else left.unlink()
    joined.rmdir()
    return {"WHISPER_MODEL_DIR": str(whisper), "KOKORO_MODEL_FILE": str(kokoro)}


def try_out(folder: Path) -> None:
    """Hear and speak once with what was laid out."""
    from agent_container.speech.voices import Voices
    from agent_container.speech.whisper import Whisper

    Whisper(folder / WHISPER).hear(
        np.zeros(16_000, np.int16), language="en", languages=["en"], prompt=None
    )
    voices = Voices(folder / "unused")
    voices.load_quick()
    voices.load_slow()


def main() -> None:
    """Read the command line and lay the models out."""
    parser = argparse.ArgumentParser(description="Lay the models out for an image.")
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    logging.basicConfig(level=logging.INFO)
    os.environ.update(prepare(folder))
    try_out(folder)
    for name in ("WHISPER_MODEL_DIR", "KOKORO_MODEL_FILE"):
        sys.stdout.write(f"{name}={os.environ[name]}\n")


if __name__ == "__main__":
    main()
