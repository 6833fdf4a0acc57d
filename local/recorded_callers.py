"""The callers who are recorded: their sentences, in order, at telephone quality."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

RECORDED_CALLERS: Mapping[str, Sequence[Path]] = {
    folder.name: tuple(sorted(folder.glob("*.wav")))
    for folder in sorted(Path(__file__).with_name("callers").iterdir())
    if folder.is_dir()
}


@dataclass(frozen=True, slots=True)
class Script:
    """What a caller does: sentences to play, or typing when there are none; numbers are E.164."""

    dialled_number: str
    files: Sequence[Path] = ()
    keys: str | None = None
    calling_number: str | None = None
