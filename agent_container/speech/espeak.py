"""espeak-ng through its C library: phonemes for Kokoro, and a robotic voice for want of another.

The library keeps one voice and one callback for the whole process, hence one lock around each use.
"""

import ctypes
import re
import threading
from functools import cache

import espeakng_loader
import numpy as np
from aurion import errors

RATE = 22_050
_SYNCHRONOUS = 2  # espeak_AUDIO_OUTPUT: hand the samples to the callback, in the calling thread
_UTF8 = 1
_IPA = 2
_PITCH, _SPEED = 3, 1
# espeak marks words it reads by another language's rules: "(en)ˈaʊtlʊk(fr)"
_LANGUAGE_FLAG = re.compile(r"\([a-z-]+\)")

_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)
_lock = threading.Lock()


@cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    library.espeak_TextToPhonemes.restype = ctypes.c_char_p
    library.espeak_TextToPhonemes.argtypes = [
        ctypes.POINTER(ctypes.c_void_p),
        ctypes.c_int,
        ctypes.c_int,
    ]
    data = espeakng_loader.get_data_path().encode()
    if library.espeak_Initialize(_SYNCHRONOUS, 0, data, 0) != RATE:
        raise errors.SpeechModelMissing
    return library


def _use_voice(library: ctypes.CDLL, language: str) -> None:
    if library.espeak_SetVoiceByName(language.encode()) != 0:
        raise errors.SpeechRejected


def phonemes(text: str, language: str) -> str:
    """Return the IPA of a text without punctuation.

    Raises:
        SpeechRejected: espeak knows no such language.
    """
    with _lock:
        library = _library()
        _use_voice(library, language)
        buffer = ctypes.create_string_buffer(text.encode())
        at = ctypes.c_void_p(ctypes.addressof(buffer))
        said: list[str] = []
        while at.value:
            said.append(library.espeak_TextToPhonemes(ctypes.byref(at), _UTF8, _IPA).decode())
    return _LANGUAGE_FLAG.sub("", " ".join(said)).strip()


def speak(text: str, language: str) -> np.ndarray:
    """Speak a text; return int16 samples at 22,050 Hz.

    Raises:
        SpeechRejected: espeak knows no such language.
    """
    parts: list[np.ndarray] = []

    def take(samples: "ctypes._Pointer[ctypes.c_short]", count: int, _: object) -> int:
        if samples and count > 0:
            parts.append(np.ctypeslib.as_array(samples, shape=(count,)).copy())
        return 0

    with _lock:
        library = _library()
        _use_voice(library, language)
        callback = _Callback(take)
        library.espeak_SetSynthCallback(callback)
        library.espeak_SetParameter(_SPEED, 155, 0)
        library.espeak_SetParameter(_PITCH, 45, 0)
        said = text.encode()
        library.espeak_Synth(said, ctypes.c_size_t(len(said) + 1), 0, 0, 0, _UTF8, None, None)
    return np.concatenate(parts) if parts else np.zeros(0, np.int16)
