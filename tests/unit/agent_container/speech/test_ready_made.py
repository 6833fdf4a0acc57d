from pathlib import Path

import numpy as np
import pytest

from agent_container.speech import ready_made, render, sounds
from agent_container.speech.voices import FRENCH

TONE = (np.sin(np.arange(24_000) * 440 * 2 * np.pi / 24_000) * 8000).astype(np.int16)


def test_every_fixed_french_sentence_is_ready_made() -> None:
    """Run `uv run python -m agent_container.speech.render` after changing a French phrase."""
    pack = ready_made.Pack()
    missing = [
        spoken
        for name, spoken in render.needed(render.fixed_texts()).items()
        if name not in pack.entries
    ]
    assert missing == []


def test_every_french_article_of_the_demo_desk_is_ready_made() -> None:
    pack = ready_made.Pack()
    articles = sorted(Path("local/desk/knowledge").glob("*.toml"))
    wanted = render.needed(render.article_texts(articles))
    assert len(wanted) > 100
    missing = [spoken for name, spoken in wanted.items() if name not in pack.entries]
    assert not missing, "render again, with --articles local/desk/knowledge"


def test_every_ready_made_sentence_can_be_played() -> None:
    pack = ready_made.Pack()
    assert len(pack.entries) > 100
    for name, entry in pack.entries.items():
        assert name == ready_made.key(FRENCH, entry.text)
        pcm = pack.find(name)
        assert pcm is not None
        assert len(pcm) == entry.samples
        # nobody says more than 30 letters a second, nor fewer than 4
        assert len(entry.text) / 30 < len(pcm) / 24_000 < max(1.5, len(entry.text) / 4)
        assert np.abs(pcm.astype(np.int32)).max() > 3000


def test_a_sound_file_that_is_not_the_indexes_is_not_used(tmp_path: Path) -> None:
    for file in ready_made.PACK.glob("fr.*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    assert ready_made.Pack(tmp_path).entries
    with (tmp_path / "fr.opus").open("ab") as sound:
        sound.write(b"more")
    assert not ready_made.Pack(tmp_path).entries


def test_the_pack_stays_small() -> None:
    assert (ready_made.PACK / "fr.opus").stat().st_size < 6_000_000


def test_the_clauses_beside_a_slot_are_needed_too() -> None:
    needed = render.needed(["Je vais ouvrir un ticket : {summary}. Voulez-vous que je le fasse ?"])
    assert set(needed.values()) == {"Je vais ouvrir un ticket :", "Voulez-vous que je le fasse ?"}


def test_nothing_with_a_slot_is_rendered() -> None:
    assert not any("{" in spoken for spoken in render.needed(render.fixed_texts()).values())


def test_articles_give_their_french_sentences(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text(
        '[[article]]\nslug = "x"\n[article.en]\nsummary = "Hello."\nsteps = ["Go."]\n'
        '[article.fr]\ntitle = "T"\nsummary = "Bonjour."\nsteps = ["Un.", "Deux."]\n'
    )
    assert render.article_texts([file]) == ["Bonjour.", "Un.", "Deux."]


def test_opus_gives_back_what_it_got() -> None:
    back = sounds.from_opus(sounds.to_opus(TONE), len(TONE))
    assert len(back) == len(TONE)
    middle = slice(4_000, 20_000)
    assert np.corrcoef(back[middle], TONE[middle])[0, 1] > 0.95


def test_the_cache_gives_back_what_it_got_and_forgets_the_oldest(tmp_path: Path) -> None:
    cache = ready_made.Cache(tmp_path, limit=25_000)
    for name in ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine"):
        cache.keep(name, TONE)
    assert not cache.has("one")
    kept = cache.find("nine")
    assert kept is not None
    assert len(kept) == len(TONE)
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 25_000
    assert cache.find("never") is None


@pytest.mark.parametrize(
    "rates", [(8_000, 16_000), (22_050, 24_000), (24_000, 16_000), (24_000, 8_000)]
)
def test_another_rate_keeps_length_and_pitch(rates: tuple[int, int]) -> None:
    rate, to_rate = rates
    tone = (np.sin(np.arange(rate) * 440 * 2 * np.pi / rate) * 8000).astype(np.int16)
    back = sounds.resample(tone, rate, to_rate)
    assert abs(len(back) - to_rate) < to_rate * 0.005
    peak = np.abs(np.fft.rfft(back.astype(float), to_rate)).argmax()
    assert abs(int(peak) - 440) <= 2


def test_silence_around_speech_is_cut() -> None:
    padded = np.concatenate([np.zeros(24_000, np.int16), TONE, np.zeros(24_000, np.int16)])
    assert 24_000 <= len(sounds.trim(padded)) < 24_000 * 1.1
    assert len(sounds.trim(np.zeros(24_000, np.int16))) == 0
    assert len(sounds.trim(np.zeros(10, np.int16))) == 0
