"""Different ways of saying a thing become the same words."""

import pytest

from local.desk import words


@pytest.mark.parametrize(
    ("language", "sayings"),
    [
        ("en", ["VPN", "the V.P.N.", "v p n", "a V P N", "vee pee en"]),
        ("en", ["it disconnects", "disconnected", "keeps disconnecting", "it dropped", "drops"]),
        ("en", ["wi-fi", "WiFi", "why fi", "wireless"]),
        ("en", ["log in", "logging in", "logged in", "login", "sign in", "signing in"]),
        ("en", ["printer", "printing", "prints", "photocopier"]),
        ("en", ["batteries", "battery"]),
        ("en", ["crashes", "crashed", "crashing"]),
        ("en", ["out look", "Outlook"]),
        ("fr", ["VPN", "le V.P.N.", "mon v p n"]),
        ("fr", ["déconnecte", "deconnectée", "déconnecter", "déconnexion", "coupures"]),
        ("fr", ["imprimante", "l'imprimante", "d’imprimer", "mes impressions", "imprime"]),
        ("fr", ["mot de passe", "mots de passe"]),
        ("fr", ["connexion", "me connecter", "connecte"]),
        ("fr", ["réunions", "réunion"]),
    ],
)
def test_ways_of_saying_one_thing_are_one_word(language: str, sayings: list[str]) -> None:
    read = {saying: words.terms(saying, language) for saying in sayings}
    assert len(set(read.values())) == 1, read
    assert all(read.values())


@pytest.mark.parametrize(
    ("language", "one", "other"),
    [
        ("en", "printer", "paper"),
        ("en", "password", "pass card"),
        ("en", "blue screen", "black screen"),
        ("fr", "imprimante", "importante"),
        ("fr", "mot de passe", "passe"),
    ],
)
def test_different_things_stay_different(language: str, one: str, other: str) -> None:
    assert words.terms(one, language) != words.terms(other, language)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "Hello, I can't, it isn't working"),
        ("fr", "Bonjour, ça ne marche plus"),
        ("en", "!?"),
        ("nl", ""),
    ],
)
def test_words_that_say_nothing_are_left_out(language: str, text: str) -> None:
    assert words.terms(text, language) == ()
