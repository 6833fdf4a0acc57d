"""The desk's one file: SQLite with a write-ahead log, durable at each acknowledged write."""

import sqlite3
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

_SCHEMA = """
CREATE TABLE IF NOT EXISTS requesters (
  id TEXT PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL,
  email_norm TEXT NOT NULL UNIQUE, language TEXT NOT NULL, site TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS tickets (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  summary TEXT NOT NULL, description TEXT NOT NULL,
  status TEXT NOT NULL CHECK (status IN ('open','in_progress','waiting','resolved','closed')),
  status_note TEXT NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('incident','request','callback')),
  language TEXT NOT NULL,
  requester_id TEXT REFERENCES requesters (id),
  external_key TEXT UNIQUE,
  opened_at TEXT NOT NULL, updated_at TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS tickets_of ON tickets (requester_id, updated_at);
CREATE TABLE IF NOT EXISTS comments (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  ticket_id INTEGER NOT NULL REFERENCES tickets (id),
  author TEXT NOT NULL, text TEXT NOT NULL, public INTEGER NOT NULL CHECK (public IN (0, 1)),
  external_key TEXT UNIQUE, at TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS comments_of ON comments (ticket_id);
CREATE TABLE IF NOT EXISTS assets (
  id TEXT PRIMARY KEY, name TEXT NOT NULL, kind TEXT NOT NULL, status TEXT NOT NULL,
  serial TEXT, requester_id TEXT NOT NULL REFERENCES requesters (id)
) STRICT;
CREATE TABLE IF NOT EXISTS outages (
  id TEXT PRIMARY KEY, service TEXT NOT NULL, summary TEXT NOT NULL,
  started_at TEXT NOT NULL, expected_end TEXT
) STRICT;
CREATE TABLE IF NOT EXISTS people (
  id TEXT PRIMARY KEY, name TEXT NOT NULL, languages TEXT NOT NULL,
  available INTEGER NOT NULL CHECK (available IN (0, 1))
) STRICT;
CREATE TABLE IF NOT EXISTS transfers (
  id TEXT PRIMARY KEY, call_id TEXT NOT NULL, requester_id TEXT, caller_name TEXT,
  level INTEGER NOT NULL, intent TEXT NOT NULL, steps_tried TEXT NOT NULL, ticket TEXT,
  language TEXT NOT NULL,
  status TEXT NOT NULL CHECK
    (status IN ('offered','answered','withdrawn','expired','unattended')),
  person_id TEXT REFERENCES people (id),
  offered_at TEXT NOT NULL, expires_at TEXT NOT NULL, ended_at TEXT
) STRICT;
CREATE TABLE IF NOT EXISTS articles (
  id TEXT PRIMARY KEY, language TEXT NOT NULL, audience TEXT NOT NULL,
  title TEXT NOT NULL, summary TEXT NOT NULL, steps TEXT NOT NULL, keywords TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS vocabulary (
  language TEXT NOT NULL, word TEXT NOT NULL, PRIMARY KEY (language, word)
) STRICT, WITHOUT ROWID;
CREATE VIRTUAL TABLE IF NOT EXISTS article_words USING fts5 (
  id UNINDEXED, language UNINDEXED, title, keywords, summary, steps, tokenize = 'ascii'
);
"""


@dataclass(frozen=True, slots=True)
class Store:
    """The open file; one writer at a time."""

    conn: sqlite3.Connection
    lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def transaction(self) -> Generator[sqlite3.Connection]:
        """Do several things at once or not at all; what is done survives a power cut."""
        with self.lock:
            self.conn.execute("BEGIN IMMEDIATE")
            try:
                yield self.conn
            except BaseException:
                self.conn.execute("ROLLBACK")
                raise
            self.conn.execute("COMMIT")


def open_store(path: Path) -> Store:
    """Open the desk's file, making it when there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    conn = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    conn.row_factory = sqlite3.Row
    conn.execute("PRAGMA journal_mode = WAL")
    # In WAL mode the default (NORMAL) may lose the last commits at a power cut; FULL does not.
    conn.execute("PRAGMA synchronous = FULL")
    conn.execute("PRAGMA foreign_keys = ON")
    conn.executescript(_SCHEMA)
    return Store(conn)


def now() -> datetime:
    """Tell the time, in UTC."""
    return datetime.now(UTC)


def stamp(moment: datetime) -> str:
    """Write a time as the desk stores and sends it."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")
