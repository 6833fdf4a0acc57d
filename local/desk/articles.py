"""Knowledge articles: read from `knowledge/*.toml`, found by what a caller says.

SQLite's FTS5 ranks by BM25 over stems; what callers are known to say (an article's keywords) counts
most when the caller says all of it.
"""

import difflib
import json
import math
import sqlite3
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

from local.desk import words
from local.desk.problems import Problem

Row = dict[str, object]

KNOWLEDGE = Path(__file__).with_name("knowledge")
# Anything that scores this much below the best is about something else.
_KEEP = 0.45
# Below this a match is chance: one common word out of a long sentence.
_LEAST = 3.0


def read_knowledge(folder: Path = KNOWLEDGE) -> Iterator[Row]:
    """Read every article of a folder, each once per language it is written in."""
    for path in sorted(folder.glob("*.toml")):
        with path.open("rb") as file:
            topics = tomllib.load(file)["article"]
        for topic in topics:
            for language in ("en", "fr"):
                yield {
                    "id": f"{topic['slug']}-{language}",
                    "language": language,
                    "audience": topic["audience"],
                    **topic[language],
                }


def load(conn: sqlite3.Connection) -> None:
    """Replace the desk's articles by those of the knowledge folder."""
    conn.execute("DELETE FROM articles")
    conn.execute("DELETE FROM article_words")
    conn.execute("DELETE FROM vocabulary")
    for article in read_knowledge():
        keywords, steps = _texts(article["keywords"]), _texts(article["steps"])
        conn.execute(
            "INSERT INTO articles VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                article["id"],
                article["language"],
                article["audience"],
                article["title"],
                article["summary"],
                json.dumps(steps, ensure_ascii=False),
                json.dumps(keywords, ensure_ascii=False),
            ],
        )
        language = str(article["language"])
        columns = [
            _indexed(str(article["title"]), language),
            " ".join(_indexed(keyword, language) for keyword in keywords),
            _indexed(str(article["summary"]), language),
            " ".join(_indexed(step, language) for step in steps),
        ]
        conn.execute(
            "INSERT INTO article_words VALUES (?, ?, ?, ?, ?, ?)",
            [article["id"], language, *columns],
        )
        conn.executemany(
            "INSERT OR IGNORE INTO vocabulary VALUES (?, ?)",
            [(language, word) for column in columns for word in column.split()],
        )


def get_article(conn: sqlite3.Connection, article_id: str) -> Row:
    """Read one article."""
    row = conn.execute("SELECT * FROM articles WHERE id = ?", [article_id]).fetchone()
    if row is None:
        raise Problem(404, "There is no such article.")
    return _article(row)


def list_articles(conn: sqlite3.Connection, *, language: str) -> list[Row]:
    """List a language's articles by title."""
    rows = conn.execute(
        "SELECT * FROM articles WHERE language = ? ORDER BY title", [language]
    ).fetchall()
    return [_article(row) for row in rows]


def search(
    conn: sqlite3.Connection, query: str, *, language: str, audience: str, limit: int
) -> list[Row]:
    """Find the articles a sentence is about, best first; audience "internal" sees all."""
    said = _known(conn, words.terms(query, language), language)
    if not said:
        return []
    match = " OR ".join(f'"{term}"' for term in dict.fromkeys(said))
    rows = conn.execute(
        """
        SELECT articles.*, -bm25(article_words, 0, 0, 5.0, 4.0, 2.0, 0.4) AS score
        FROM article_words JOIN articles ON articles.id = article_words.id
        WHERE article_words MATCH :match AND article_words.language = :language
          AND (:audience = 'internal' OR articles.audience = 'public')
        ORDER BY score DESC LIMIT 30
        """,
        {"match": match, "language": language, "audience": audience},
    ).fetchall()
    scored = sorted(
        (
            (row["score"] + _said_whole(said, row, language), row)
            for row in rows
            if _is_about(said, row, language)
        ),
        key=lambda pair: -pair[0],
    )
    if not scored:
        return []
    floor = max(_LEAST, _KEEP * scored[0][0])
    return [_article(row) for score, row in scored[:limit] if score >= floor]


def _texts(value: object) -> list[str]:
    return [str(item) for item in cast("list[object]", value)]


def _indexed(text: str, language: str) -> str:
    return " ".join(words.terms(text, language))


def _said_whole(said: Sequence[str], row: sqlite3.Row, language: str) -> float:
    """Reward keywords of which every word was said: a longer one says more."""
    spoken = set(said)
    lengths = [
        len(terms)
        for keyword in json.loads(row["keywords"])
        if (terms := set(words.terms(keyword, language))) and terms <= spoken
    ]
    best = max(lengths, default=0)
    if not best:
        return 0.0
    return (1.5 if best == 1 else 3.0 * best) + math.log1p(len(lengths))


def _is_about(said: Sequence[str], row: sqlite3.Row, language: str) -> bool:
    """Tell whether an article shares more with a sentence than words that fit many topics."""
    strong = set(said) - words.weak(language)
    return not strong.isdisjoint(
        term
        for text in (row["title"], row["summary"], row["keywords"], row["steps"])
        for term in words.terms(text, language)
    )


def _known(conn: sqlite3.Connection, terms: Sequence[str], language: str) -> list[str]:
    """Keep the terms that articles use; a misspelt one becomes its nearest neighbour."""
    known: list[str] = []
    for term in terms:
        row = conn.execute(
            "SELECT word FROM vocabulary WHERE language = ? AND word = ?", [language, term]
        ).fetchone()
        if row is not None:
            known.append(term)
        elif len(term) >= 5:
            rows = conn.execute(
                "SELECT word FROM vocabulary WHERE language = ? AND substr(word, 1, 1) = ?",
                [language, term[0]],
            ).fetchall()
            near = [row["word"] for row in rows]
            known.extend(difflib.get_close_matches(term, near, n=1, cutoff=0.82))
    return known


def _article(row: sqlite3.Row) -> Row:
    return {
        **{name: row[name] for name in ("id", "language", "audience", "title", "summary")},
        "steps": json.loads(row["steps"]),
        "keywords": json.loads(row["keywords"]),
    }
