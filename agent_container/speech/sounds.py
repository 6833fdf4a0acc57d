"""Samples: other rates, other number formats, less silence, and Opus for what is kept."""

import io

import av
import numpy as np

_SILENCE = 200  # of 32,767: a hundredth of a second that stays below counts as silent
_HEAD, _TAIL = 2, 6  # hundredths of a second of silence kept around the sound
_BITRATE = 28_000


def from_float(sound: np.ndarray) -> np.ndarray:
    """Turn float samples (-1 to 1) into int16."""
    return (np.clip(sound, -1, 1) * 32767).astype(np.int16)


def resample(pcm: np.ndarray, rate: int, to_rate: int) -> np.ndarray:
    """Convert int16 mono samples from one rate (Hz) to another."""
    if rate == to_rate or len(pcm) == 0:
        return pcm
    resampler = av.AudioResampler(format="s16", layout="mono", rate=to_rate)
    parts = [*resampler.resample(_frame(pcm, rate)), *resampler.resample(None)]
    return np.concatenate([part.to_ndarray()[0] for part in parts])


def trim(pcm: np.ndarray, rate: int = 24_000) -> np.ndarray:
    """Cut the silence at both ends of int16 samples, leaving a little for the ear."""
    frame = rate // 100
    frames = len(pcm) // frame
    loudest = np.abs(pcm[: frames * frame].astype(np.int32)).reshape(frames, frame)
    loud = np.flatnonzero(loudest.max(axis=1, initial=0) > _SILENCE)
    if len(loud) == 0:
        return pcm[:0]
    return pcm[max(0, loud[0] - _HEAD) * frame : min(frames, loud[-1] + 1 + _TAIL) * frame]


def silence(milliseconds: int, rate: int = 24_000) -> np.ndarray:
    """Return that much silence as int16 samples."""
    return np.zeros(rate * milliseconds // 1000, np.int16)


def to_opus(pcm: np.ndarray, rate: int = 24_000) -> bytes:
    """Encode int16 mono samples as an Ogg/Opus file."""
    file = io.BytesIO()
    with av.open(file, "w", format="ogg") as out:
        stream = out.add_stream("libopus", rate=rate, layout="mono")
        stream.bit_rate = _BITRATE
        stream.options = {"application": "voip", "frame_duration": "60"}
        for packet in stream.encode(_frame(pcm, rate)):
            out.mux(packet)
        for packet in stream.encode(None):
            out.mux(packet)
    return file.getvalue()


def from_opus(data: bytes, samples: int, rate: int = 24_000) -> np.ndarray:
    """Decode an Ogg/Opus file to so many int16 mono samples."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=rate)
    parts: list[np.ndarray] = []
    with av.open(io.BytesIO(data), "r") as file:
        for frame in file.decode(audio=0):
            parts += [part.to_ndarray()[0] for part in resampler.resample(frame)]
    parts += [part.to_ndarray()[0] for part in resampler.resample(None)]
    pcm = np.concatenate(parts)
    return np.pad(pcm, (0, max(0, samples - len(pcm))))[:samples]


def _frame(pcm: np.ndarray, rate: int) -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(
        np.ascontiguousarray(pcm, np.int16)[None, :], format="s16", layout="mono"
    )
    frame.sample_rate = rate
    return frame
