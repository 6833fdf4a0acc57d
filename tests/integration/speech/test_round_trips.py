"""What the voices say over a telephone line, the recogniser writes down word by word."""

import re
import unicodedata

import numpy as np
import pytest

from agent_container.speech import hallucinations, sounds
from agent_container.speech.client import LISTENING_RATE, SPEAKING_RATE, SpeechClient
from tests import voices

ENGLISH = [
    "I will open a ticket for you.",
    "Please restart your computer and try again.",
    "Is there anything else I can help you with?",
]
FRENCH = [
    "Je vais ouvrir un ticket pour votre imprimante.",
    "Est-ce que je peux faire autre chose pour vous ?",
    "Votre demande est bien enregistrée, au revoir.",
]


def words(text: str) -> list[str]:
    bare = unicodedata.normalize("NFKC", text.lower().replace("’", "'"))
    return re.findall(r"[\w']+", bare)


async def spoken(speech: SpeechClient, text: str, language: str) -> np.ndarray:
    """Return what the server's own voice says, as it arrives over a telephone line."""
    chunks = [chunk async for chunk in speech.synthesize(text, language=language)]
    line = sounds.resample(np.concatenate(chunks), SPEAKING_RATE, voices.LINE_RATE)
    return for_the_recogniser(voices.telephone(line))


def for_the_recogniser(line: np.ndarray) -> np.ndarray:
    return sounds.resample(line, voices.LINE_RATE, LISTENING_RATE)


@pytest.mark.parametrize("text", ENGLISH)
async def test_english_is_understood_word_by_word(speech: SpeechClient, text: str) -> None:
    heard = await speech.transcribe(await spoken(speech, text, "en"), language="en")
    assert words(heard.text) == words(text)
    assert heard.confidence > 0.6


@pytest.mark.parametrize("text", FRENCH)
async def test_french_is_understood_word_by_word(speech: SpeechClient, text: str) -> None:
    heard = await speech.transcribe(await spoken(speech, text, "fr"), language="fr")
    assert words(heard.text) == words(text)


async def test_a_ticket_number_can_be_written_down_by_ear(speech: SpeechClient) -> None:
    pcm = await spoken(speech, "Your ticket number is T-1042.", "en")
    heard = await speech.transcribe(pcm, language="en")
    digits = {"one": "1", "zero": "0", "four": "4", "two": "2"}
    said = "".join(digits.get(word, word) for word in words(heard.text))
    assert said.endswith("1042")


@pytest.mark.parametrize("voice", voices.VOICES["en"])
async def test_every_english_caller_of_the_tests_is_understood(
    speech: SpeechClient, voice: voices.Voice
) -> None:
    line = voices.say("My printer does not work since yesterday.", "en", voice)
    heard = await speech.transcribe(for_the_recogniser(line), language="en")
    assert words(heard.text) == words("My printer does not work since yesterday.")


async def test_a_caller_in_a_loud_room_on_a_bad_line_is_understood(speech: SpeechClient) -> None:
    line = voices.say("My printer does not work since yesterday.")
    line = voices.lose_packets(voices.babble(line, snr_db=10), 0.03)
    heard = await speech.transcribe(for_the_recogniser(line), language="en")
    assert "printer" in words(heard.text)


async def test_the_language_is_found_among_the_companys(speech: SpeechClient) -> None:
    french = for_the_recogniser(voices.say("Bonjour, mon imprimante ne marche plus.", "fr"))
    english = for_the_recogniser(voices.say("Hello, my printer does not work."))
    both = ("en", "fr")
    assert (await speech.transcribe(french, language=None, languages=both)).language == "fr"
    assert (await speech.transcribe(english, language=None, languages=both)).language == "en"
    # a company that speaks no French gets its own language, whatever was spoken
    assert (await speech.transcribe(french, language=None, languages=("nl", "en"))).language != "fr"


async def test_more_than_the_model_hears_at_once_is_heard_whole(speech: SpeechClient) -> None:
    said = [
        "My laptop order has not arrived.",
        "I asked about it on Monday.",
        "The supplier sent me a message.",
        "It says the parcel is in Lyon.",
        "Nobody in the office has seen it.",
        "I need it for a meeting on Friday.",
        "Can you find out where the parcel is?",
    ]
    pause = voices.noise(3.0, level=5)
    line = np.concatenate([part for text in said for part in (voices.say(text), pause)])
    assert len(line) > 31 * voices.LINE_RATE
    heard = words((await speech.transcribe(for_the_recogniser(line), language="en")).text)
    assert {"laptop", "monday", "supplier", "office", "friday"} <= set(heard)
    assert heard[-3:] == ["the", "parcel", "is"]


@pytest.mark.parametrize("language", ["en", "fr"])
async def test_silence_and_line_noise_say_nothing(speech: SpeechClient, language: str) -> None:
    for line in (np.zeros(16_000, np.int16), voices.noise(2), voices.noise(2, level=400)):
        heard = await speech.transcribe(for_the_recogniser(line), language=language)
        assert hallucinations.is_invented(heard)


async def test_sentences_that_mean_the_same_are_close(speech: SpeechClient) -> None:
    texts = ["My VPN is down.", "Mon VPN ne marche plus.", "Mijn VPN werkt niet.", "I like soup."]
    vectors = await speech.encode(texts)
    assert vectors.shape == (4, 512)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)
    alike = vectors @ vectors[0]
    assert min(alike[1:3]) > 0.6 > 0.4 > alike[3]
    assert (await speech.encode([])).shape == (0, 512)
