"""The knowledge base is written to be spoken, in two languages, one topic an article."""

import re
from collections import Counter

import pytest

from local.desk import articles, words

ARTICLES = list(articles.read_knowledge())
IDS = [str(article["id"]) for article in ARTICLES]


def test_there_is_a_topic_for_most_calls_in_both_languages() -> None:
    slugs = Counter(article_id.rpartition("-")[0] for article_id in IDS)
    assert len(slugs) >= 44
    assert set(slugs.values()) == {2}
    assert len(set(IDS)) == len(IDS)


def test_callers_who_are_not_verified_get_most_of_it_but_not_all() -> None:
    audiences = Counter(article["audience"] for article in ARTICLES)
    assert audiences["public"] > audiences["internal"] > 0


@pytest.mark.parametrize("article", ARTICLES, ids=IDS)
def test_an_article_can_be_spoken(article: dict[str, object]) -> None:
    assert set(article) == {"id", "language", "audience", "title", "summary", "keywords", "steps"}
    assert article["audience"] in ("public", "internal")
    steps = article["steps"]
    assert isinstance(steps, list)
    assert 2 <= len(steps) <= 5
    for step in steps:
        assert len(step.split()) <= 18, step
        assert step.endswith(".")
        # One sentence, no address, no path, no sign that a voice would spell out.
        assert not re.search(r"[.!?] |https?:|www\.|[/\\<>{}*#|_@=]", step), step
    summary = str(article["summary"])
    assert summary.endswith(".")
    assert len(summary.split()) <= 22


@pytest.mark.parametrize("article", ARTICLES, ids=IDS)
def test_an_article_says_how_callers_say_it(article: dict[str, object]) -> None:
    keywords = article["keywords"]
    assert isinstance(keywords, list)
    assert len(keywords) >= 5
    assert len(set(keywords)) == len(keywords)
    for keyword in keywords:
        assert words.terms(keyword, str(article["language"])), keyword


def test_each_first_step_of_the_common_faults_is_the_simplest_one() -> None:
    first = {str(article["id"]): article["steps"][0] for article in ARTICLES}  # type: ignore[index]
    assert first["vpn-disconnects-en"].startswith("Restart your laptop")
    assert first["vpn-disconnects-fr"].startswith("Redémarrez votre ordinateur")
    assert first["printer-not-printing-en"].startswith("Turn the printer off")
    assert first["printer-not-printing-fr"].startswith("Éteignez l'imprimante")
