import hashlib
from pathlib import Path

import pytest
from aurion import errors

from agent_container.speech import models


@pytest.fixture
def parts(tmp_path: Path) -> list[Path]:
    files = [tmp_path / "one", tmp_path / "two"]
    for number, file in enumerate(files):
        file.write_bytes(bytes([number]) * 1_500_000)
    return files


def sha256(parts: list[Path]) -> str:
    return hashlib.sha256(b"".join(part.read_bytes() for part in parts)).hexdigest()


def test_parts_are_joined_once(parts: list[Path], tmp_path: Path) -> None:
    target = tmp_path / "cache" / "model.bin"
    models.join(parts, target, sha256(parts))
    first = target.stat().st_ino
    models.join(parts, target, sha256(parts))
    assert target.read_bytes() == parts[0].read_bytes() + parts[1].read_bytes()
    assert target.stat().st_ino == first


def test_weights_with_another_hash_are_refused_and_not_kept(
    parts: list[Path], tmp_path: Path
) -> None:
    target = tmp_path / "cache" / "model.bin"
    with pytest.raises(errors.SpeechModelDamaged):
        models.join(parts, target, "0" * 64)
    assert list(target.parent.iterdir()) == []


def test_a_joined_file_that_was_changed_is_joined_again(parts: list[Path], tmp_path: Path) -> None:
    target = tmp_path / "cache" / "model.bin"
    models.join(parts, target, sha256(parts))
    good = target.read_bytes()
    target.write_bytes(good[:-1] + b"!")
    models.join(parts, target, sha256(parts))
    assert target.read_bytes() == good


def test_a_named_folder_without_a_model_is_a_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WHISPER_MODEL_DIR", str(tmp_path))
    with pytest.raises(errors.SpeechModelMissing):
        models.whisper_folder(tmp_path)


def test_a_named_whisper_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("model.bin", "tokenizer.json"):
        (tmp_path / name).touch()
    monkeypatch.setenv("WHISPER_MODEL_DIR", str(tmp_path))
    assert models.whisper_folder(tmp_path / "cache") == tmp_path


def test_a_changed_voice_is_refused(tmp_path: Path) -> None:
    voice = tmp_path / "voice.bin"
    voice.write_bytes(bytes(510 * 256 * 4))
    with pytest.raises(errors.SpeechModelDamaged):
        models.kokoro_voice(voice, models.KOKORO_VOICES["ff_siwis"])
    with pytest.raises(errors.SpeechModelMissing):
        models.kokoro_voice(tmp_path / "none.bin", "")


def test_the_french_voice_is_the_published_one() -> None:
    assert models.french_voice().shape == (510, 256)
