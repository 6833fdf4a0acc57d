"""Render the French sentences that never change into the pack that comes with the code.

Run as `python -m agent_container.speech.render [--articles PATH ...]` after changing a French
phrase; what is rendered already stays. It uses one thread and gives way to everything else.
"""

import argparse
import hashlib
import json
import os
import re
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from agent_container.speech import clauses, models, ready_made, sounds
from agent_container.speech.kokoro import Kokoro
from agent_container.speech.spoken_forms import speakable
from agent_container.speech.voices import FRENCH

_AGENT = Path(__file__).parent.parent
FIXED = (_AGENT / "phrases" / "fr.toml", _AGENT / "engine" / "answers" / "fr.toml")
_SLOT = re.compile(r"\{[^{}]*\}")
# A slot's value may be shorter than a breath or longer: the clauses beside it differ.
_STAND_INS = ("{}", "{" + "-" * clauses.SHORTEST + "}")
_SAVE_EACH = 20


def fixed_texts(files: Iterable[Path] = FIXED) -> list[str]:
    """Return every text of the agent's own French files."""
    return [text for file in files for text in _texts(tomllib.loads(file.read_text()))]


def article_texts(files: Iterable[Path]) -> list[str]:
    """Return what the articles in some TOML files say in French: summary and steps."""
    return [
        text
        for file in files
        for article in tomllib.loads(file.read_text()).get("article", [])
        for name in ("summary", "steps")
        for text in _texts(article.get("fr", {}).get(name, []))
    ]


def needed(texts: Iterable[str]) -> dict[str, str]:
    """Return what must be ready for some texts, by key: sentences, or clauses beside a slot."""
    parts = [part for text in texts for part in _fixed_parts(text)]
    said = [speakable(part, "fr") for part in parts]
    return {ready_made.key(FRENCH, spoken): spoken for spoken in said}


def render(wanted: dict[str, str], kept: set[str], kokoro: Kokoro, folder: Path) -> int:
    """Bring the pack in a folder up to date; return how many sentences were rendered."""
    pack = ready_made.Pack(folder)
    have = {
        name: (entry, pack.encoded(entry))
        for name, entry in pack.entries.items()
        if name in wanted or name in kept
    }
    missing = {name: spoken for name, spoken in wanted.items() if name not in have}
    voice = models.french_voice()
    for count, (name, spoken) in enumerate(missing.items(), 1):
        pcm = kokoro.speak(spoken, voice=voice, language="fr")
        have[name] = (ready_made.Entry(spoken, 0, 0, len(pcm)), sounds.to_opus(pcm))
        if count % _SAVE_EACH == 0:
            _write(have, folder)
            print(f"{count}/{len(missing)}", file=sys.stderr, flush=True)  # noqa: T201
    if missing or len(have) != len(pack.entries):
        _write(have, folder)
    return len(missing)


def _write(have: dict[str, tuple[ready_made.Entry, bytes]], folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    sound = bytearray()
    index: dict[str, dict[str, object]] = {}
    for name in sorted(have):
        entry, opus = have[name]
        index[name] = {
            "text": entry.text,
            "at": len(sound),
            "size": len(opus),
            "samples": entry.samples,
        }
        sound += opus
    described = {
        "voice": FRENCH,
        "rate": 24_000,
        "sha256": hashlib.sha256(sound).hexdigest(),
        "sentences": index,
    }
    for file, data in (
        (folder / "fr.opus", bytes(sound)),
        (folder / "fr.json", json.dumps(described, ensure_ascii=False, indent=0).encode() + b"\n"),
    ):
        with tempfile.NamedTemporaryFile(dir=folder, suffix=".part", delete=False) as out:
            out.write(data)
        Path(out.name).chmod(0o644)
        Path(out.name).replace(file)


def _fixed_parts(text: str) -> Iterator[str]:
    for sentence in clauses.sentences(_SLOT.sub("{}", text)):
        if "{}" not in sentence:
            yield sentence
            continue
        for stand_in in _STAND_INS:
            for clause in clauses.clauses(sentence.replace("{}", stand_in)):
                if "{" not in clause and sum(map(str.isalpha, clause)) >= clauses.SHORTEST:
                    yield clause


def _texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case list():
            for part in value:
                yield from _texts(part)
        case dict():
            for part in value.values():
                yield from _texts(part)
        case _:
            return


def main() -> None:
    """Read the command line and render."""
    parser = argparse.ArgumentParser(description="Render the French sentences that never change.")
    parser.add_argument("--articles", type=Path, nargs="*", help="articles: TOML files or folders")
    parser.add_argument("--cache", type=Path, default=Path(".local/cache"))
    options = parser.parse_args()
    os.nice(10)
    wanted = needed(fixed_texts())
    kept: set[str] = set()
    if options.articles is None:
        # the articles are not ours to know: without their paths, what was rendered for them stays
        kept = set(ready_made.Pack().entries)
    else:
        files = [
            file
            for path in options.articles
            for file in (sorted(path.rglob("*.toml")) if path.is_dir() else [path])
        ]
        wanted |= needed(article_texts(files))
    kokoro = Kokoro(models.kokoro_file(options.cache / "models"), threads=1)
    count = render(wanted, kept, kokoro, ready_made.PACK)
    size = (ready_made.PACK / "fr.opus").stat().st_size
    print(f"{count} rendered, {len(wanted)} wanted, {size:,} bytes")  # noqa: T201


if __name__ == "__main__":
    main()
