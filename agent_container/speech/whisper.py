"""Hear: Whisper on the CPU, one utterance at a time, at a cost that cannot run away.

Whisper was trained to look at 30 seconds, most of them silence after an utterance. It hears a
sentence as well in half of that, which costs a third; in less it begins to say things twice. Only
digits suffer a little, so guesses at them look at all of it. One encoder run serves both the
language and the text.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from aurion import errors
from faster_whisper import WhisperModel
from faster_whisper.tokenizer import Tokenizer
from faster_whisper.transcribe import get_suppressed_tokens, pad_or_trim

from agent_container.speech.client import LISTENING_RATE, Guess, Heard

_WINDOW_S = 30
_FRAMES_PER_SECOND = 100
_LEAST_FRAMES = 15 * _FRAMES_PER_SECOND
_MOST_FRAMES = _WINDOW_S * _FRAMES_PER_SECOND
# Fast talkers make five tokens a second. A loop would fill the model's 448; this stops it early.
_TOKENS_PER_SECOND = 7
_TOKENS_AT_LEAST = 40
_TOKENS_AT_MOST = 200
_PROMPT_TOKENS = 120
_GUESSES = 5
LONGEST_S = 120


class Whisper:
    """Hold one Whisper model; not safe for concurrent use, it has a thread of its own."""

    def __init__(self, folder: Path, *, threads: int = 2) -> None:
        self._model = WhisperModel(
            str(folder),
            device="cpu",
            compute_type="int8",
            cpu_threads=threads,
            num_workers=1,
            local_files_only=True,
        )
        self._tokenizers: dict[str, Tokenizer] = {}

    def hear(
        self,
        pcm: np.ndarray,
        *,
        language: str | None,
        languages: Sequence[str] = (),
        prompt: str | None = None,
    ) -> Heard:
        """Turn int16 samples at 16 kHz into text, greedily and without memory of what came before.

        Raises:
            SpeechRejected: the model knows no such language, or the audio is empty or too long.
        """
        if not 0 < len(pcm) <= LONGEST_S * LISTENING_RATE:
            raise errors.SpeechRejected
        sound = pcm.astype(np.float32) / 32768
        texts: list[str] = []
        cut = False
        logprob, tokens, no_speech = 0.0, 0, 1.0
        for window in windows(sound):
            encoded = self._encode(window)
            if language is None:
                language = self._language(encoded, languages)
            tokenizer = self._tokenizer(language)
            limit = token_limit(len(window) / LISTENING_RATE)
            ids, score, silence = self._decode(encoded, tokenizer, prompt, limit)
            texts.append(tokenizer.decode(ids).strip())
            cut = cut or len(ids) >= limit
            logprob += score * len(ids)
            tokens += len(ids) + 1
            no_speech = min(no_speech, silence)
        assert language is not None
        confidence = math.exp(logprob / tokens)
        return Heard(" ".join(filter(None, texts)), language, confidence, no_speech, cut)

    def guess(self, pcm: np.ndarray, *, language: str, prompts: Sequence[str]) -> list[list[Guess]]:
        """Return up to five texts for each prompt that int16 samples at 16 kHz may say.

        The encoder, which costs most, runs once for all prompts. Only the last 30 s are looked at.

        Raises:
            SpeechRejected: the model knows no such language, or there is no audio.
        """
        if not len(pcm):
            raise errors.SpeechRejected
        window = pcm[-_WINDOW_S * LISTENING_RATE :].astype(np.float32) / 32768
        encoded = self._encode(window, least_frames=_MOST_FRAMES)
        tokenizer = self._tokenizer(language)
        limit = token_limit(len(window) / LISTENING_RATE)
        lists: list[list[Guess]] = []
        for prompt in prompts:
            result = self._generate(encoded, tokenizer, prompt, limit, beams=_GUESSES)
            found = zip(result.sequences_ids, result.scores, strict=True)
            lists.append(
                [Guess(tokenizer.decode(ids).strip(), s, len(ids) >= limit) for ids, s in found]
            )
        return lists

    def _encode(self, window: np.ndarray, *, least_frames: int = _LEAST_FRAMES) -> Any:
        features = self._model.feature_extractor(window)
        with_silence = features.shape[-1] + _FRAMES_PER_SECOND
        frames = min(_MOST_FRAMES, max(least_frames, with_silence))
        return self._model.encode(pad_or_trim(features, frames))

    def _decode(
        self, encoded: Any, tokenizer: Tokenizer, prompt: str | None, limit: int
    ) -> tuple[list[int], float, float]:
        result = self._generate(encoded, tokenizer, prompt, limit, beams=1)
        return result.sequences_ids[0], result.scores[0], result.no_speech_prob

    def _generate(
        self, encoded: Any, tokenizer: Tokenizer, prompt: str | None, limit: int, *, beams: int
    ) -> Any:
        start: list[int] = []
        if prompt:
            start = [tokenizer.sot_prev, *tokenizer.encode(" " + prompt.strip())[-_PROMPT_TOKENS:]]
        start += [*tokenizer.sot_sequence, tokenizer.no_timestamps]
        return self._model.model.generate(
            encoded,
            [start],
            beam_size=beams,
            num_hypotheses=beams,
            max_length=len(start) + limit,
            return_scores=True,
            return_no_speech_prob=True,
            suppress_blank=True,
            suppress_tokens=get_suppressed_tokens(tokenizer, cast("Any", [-1])),
        )[0]

    def _language(self, encoded: Any, languages: Sequence[str]) -> str:
        found = self._model.model.detect_language(encoded)[0]
        for token, _ in found:  # most likely first
            name = token[2:-2]
            if not languages or name in languages:
                return name
        raise errors.SpeechRejected

    def _tokenizer(self, language: str) -> Tokenizer:
        if language not in self._tokenizers:
            try:
                self._tokenizers[language] = Tokenizer(
                    self._model.hf_tokenizer,
                    self._model.model.is_multilingual,
                    task="transcribe",
                    language=language,
                )
            except ValueError:
                raise errors.SpeechRejected from None
        return self._tokenizers[language]


def token_limit(seconds: float) -> int:
    """Say how many tokens that much speech can hold at most."""
    return max(_TOKENS_AT_LEAST, min(_TOKENS_AT_MOST, math.ceil(seconds * _TOKENS_PER_SECOND)))


def windows(sound: np.ndarray) -> list[np.ndarray]:
    """Cut samples at 16 kHz into parts of 30 s at most, each at a quiet place near its end."""
    parts: list[np.ndarray] = []
    longest = _WINDOW_S * LISTENING_RATE
    while len(sound) > longest:
        step = LISTENING_RATE // 10
        tail = sound[longest - 8 * LISTENING_RATE : longest]
        energy = np.square(tail[: len(tail) // step * step]).reshape(-1, step).sum(axis=1)
        at = longest - 8 * LISTENING_RATE + int(energy.argmin()) * step + step // 2
        parts.append(sound[:at])
        sound = sound[at:]
    return [*parts, sound]
