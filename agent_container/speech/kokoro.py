"""Speak with Kokoro-82M: espeak turns text to phonemes, ONNX turns them and a style to sound."""

import json
import re
from pathlib import Path

import numpy as np
import onnxruntime
from aurion import errors

from agent_container.speech import espeak, models, sounds

_LONGEST = 400  # phonemes; the model takes 510, the clauses that come here are far shorter
_MARKS = re.compile(r"\s*([;:,.!?…—]+)\s*")


class Kokoro:
    """Hold the acoustic model; a voice is a table of styles and speaks any language's phonemes."""

    def __init__(self, file: Path, *, threads: int = 2) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # idle threads must not spin: the same two cores hear and answer other calls
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # no two clauses are of one length: a plan of memory for each would only pile up
        options.enable_mem_pattern = False
        self._session = onnxruntime.InferenceSession(
            str(file), options, providers=["CPUExecutionProvider"]
        )
        folder = models.package_folder("kokoro_onnx")
        if folder is None:
            raise errors.SpeechModelMissing
        self._vocabulary: dict[str, int] = json.loads((folder / "config.json").read_text())["vocab"]

    def speak(
        self, text: str, *, voice: np.ndarray, language: str, speed: float = 1.0
    ) -> np.ndarray:
        """Speak a clause or sentence; return int16 samples at 24 kHz, the silence around cut."""
        tokens = self.tokens(text, language)
        if not tokens:
            return np.zeros(0, np.int16)
        sound = self._session.run(
            None,
            {
                "tokens": np.array([[0, *tokens, 0]], np.int64),
                "style": voice[min(len(tokens), len(voice)) - 1][None, :],
                "speed": np.array([speed], np.float32),
            },
        )[0]
        return sounds.trim(sounds.from_float(np.asarray(sound).ravel()))

    def tokens(self, text: str, language: str) -> list[int]:
        """Return a text's tokens: phonemes, with the punctuation that shapes the melody."""
        said = ""
        for index, part in enumerate(_MARKS.split(text)):
            if index % 2:
                said += part[0] + " "
            elif part.strip():
                said += espeak.phonemes(part, language)
        known = self._vocabulary
        # espeak writes "-" where words run together; the model was not trained on it
        tokens = [known[sign] for sign in said.strip().replace("-", "") if sign in known]
        return tokens[:_LONGEST]
