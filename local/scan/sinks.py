"""Every place of a running stack where something could have been left, read as bytes."""

import json
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg
from psycopg import sql

from local import state
from local.aws import Aws
from local.postgres import Postgres
from local.scan.forms import join
from local.state import State

# System catalogues that hold what was written into a database, even after its rows are gone.
_TELLING_CATALOGUES = (
    "pg_description",
    "pg_largeobject",
    "pg_seclabel",
    "pg_settings",
    "pg_stat_activity",
    "pg_statistic",
    "pg_statistic_ext_data",
)
_UNREADABLE = b""
_MOST_OF_A_FILE = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Piece:
    """Some data of one sink and where it lies; `unread` says why it could not be looked into."""

    sink: str
    where: str
    data: bytes
    unread: str | None = None


def database_rows(server: Postgres) -> Iterator[Piece]:
    """Read every column of every table in every database of the cluster, as text and as bytes."""
    with psycopg.connect(server.dsn(), autocommit=True) as conn:
        names = conn.execute("SELECT datname FROM pg_database WHERE datallowconn").fetchall()
    for (name,) in names:
        with psycopg.connect(server.dsn(name)) as conn:
            conn.execute("SET TRANSACTION READ ONLY")
            tables = conn.execute(
                """
                SELECT n.nspname, c.relname, c.oid FROM pg_class c
                JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE c.relkind IN ('r', 'm', 'p', 'S')
                    AND (n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
                        OR c.relname = ANY(%(telling)s))
                UNION ALL
                SELECT n.nspname, c.relname, c.oid FROM pg_class c
                JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE c.relkind = 'v' AND c.relname = ANY(%(telling)s)
                ORDER BY 1, 2
                """,
                {"telling": list(_TELLING_CATALOGUES)},
            ).fetchall()
            for schema, table, oid in tables:
                yield from _columns(conn, f"{name}: {schema}.{table}", schema, table, oid)
            if ("aurion", "turns") in [(schema, table) for schema, table, _ in tables]:
                yield from _conversations(conn, name)


def _columns(
    conn: psycopg.Connection, where: str, schema: str, table: str, oid: int
) -> Iterator[Piece]:
    columns = conn.execute(
        """
        SELECT attname, atttypid = 'bytea'::regtype FROM pg_attribute
        WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped ORDER BY attnum
        """,
        (oid,),
    ).fetchall()
    if not columns:
        return
    wanted = sql.SQL(", ").join(
        sql.SQL("{}" if is_bytes else "{}::text").format(sql.Identifier(column))
        for column, is_bytes in columns
    )
    query = sql.SQL("SELECT {} FROM {}").format(wanted, sql.Identifier(schema, table))
    rows = conn.cursor(binary=True).execute(query).fetchall()
    for position, (column, _) in enumerate(columns):
        values = (_as_bytes(row[position]) for row in rows if row[position] is not None)
        yield Piece("database", f"{where}.{column}", join(values))


def _conversations(conn: psycopg.Connection, name: str) -> Iterator[Piece]:
    """Read each speaker's turns in a row: a value can be split over several of them."""
    rows = conn.execute(
        "SELECT string_agg(text, ' ' ORDER BY seq) FROM aurion.turns"
        " GROUP BY tenant_id, call_id, speaker"
    ).fetchall()
    yield Piece(
        "database",
        f"{name}: aurion.turns.text, turns of a call in a row",
        join(row[0].encode() for row in rows),
    )


def database_files(server: Postgres) -> Iterator[Piece]:
    """Read the server's log and its files on disk: rows that are deleted lie there still."""
    with psycopg.connect(server.dsn(), autocommit=True) as conn:
        conn.execute("CHECKPOINT")
    if server.log.exists():
        yield Piece("database log", str(server.log), server.log.read_bytes())
    for path in sorted(server.data.rglob("*")):
        with suppress(FileNotFoundError):  # temporary files come and go
            if path.is_file() and not _is_catalogue(path):
                yield Piece("database files", str(path), path.read_bytes())


def _is_catalogue(path: Path) -> bool:
    # A cluster's own tables have numbers below 16384; two of them hold what users write.
    number = path.name.split("_")[0].split(".")[0]
    return number.isdigit() and int(number) < 16384 and number not in {"2613", "2619"}


def objects(aws: Aws) -> Iterator[Piece]:
    """Read every version of every object, with its name, metadata and tags."""
    s3 = aws.client("s3")
    for bucket in (entry["Name"] for entry in s3.list_buckets()["Buckets"]):
        for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
            for version in page.get("Versions", []):
                yield _object(s3, bucket, version["Key"], version["VersionId"])
            for marker in page.get("DeleteMarkers", []):
                yield Piece("objects", f"{bucket}, a deletion marker", marker["Key"].encode())
        for upload in s3.list_multipart_uploads(Bucket=bucket).get("Uploads", []):
            yield Piece(
                "objects",
                f"{bucket}, an unfinished upload",
                upload["Key"].encode(),
                unread="the parts of an unfinished upload can't be read, and nothing deletes them",
            )


def _object(s3: Any, bucket: str, key: str, version: str) -> Piece:
    chosen = {} if version == "null" else {"VersionId": version}
    found = s3.get_object(Bucket=bucket, Key=key, **chosen)
    tags = s3.get_object_tagging(Bucket=bucket, Key=key, **chosen)["TagSet"]
    about = json.dumps([key, found["Metadata"], tags, found["ContentType"]]).encode()
    where = f"{bucket}, version {version} of an object"
    return Piece("objects", where, join([about, found["Body"].read()]))


def queues(aws: Aws) -> Iterator[Piece]:
    """Read what waits in every queue, dead letters too, and leave it there."""
    sqs = aws.client("sqs")
    for url in sqs.list_queues().get("QueueUrls", []):
        taken: list[dict[str, Any]] = []
        while received := sqs.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=10,
            VisibilityTimeout=60,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["All"],
        ).get("Messages"):
            taken += received
        for message in taken:
            sqs.change_message_visibility(
                QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
            )
        name = url.rsplit("/", 1)[-1]
        bodies = (json.dumps([m["Body"], m.get("MessageAttributes")]).encode() for m in taken)
        yield Piece("queues", f"{name}, {len(taken)} messages", join(bodies))


def stored_secrets(aws: Aws) -> Iterator[Piece]:
    """Read every stored secret."""
    client = aws.client("secretsmanager")
    for page in client.get_paginator("list_secrets").paginate():
        for entry in page["SecretList"]:
            value = client.get_secret_value(SecretId=entry["ARN"]).get("SecretString", "")
            about = json.dumps(entry, default=str).encode()
            yield Piece("secrets", entry["Name"], join([about, value.encode()]))


def files(database: Postgres) -> Iterator[Piece]:
    """Read the state directory, and what our processes left in the machine's temporary one."""
    skipped = {database.data, database.log, database.data.with_suffix(".password")}
    home = state.home()
    for path in _files_below(home, skipped):
        yield Piece(_kind_of(path.relative_to(home)), str(path), _read(path))
    elsewhere = {Path("/tmp"), Path(os.environ.get("TMPDIR", "/tmp"))}  # noqa: S108 - read only
    for directory in elsewhere | {Path(tempfile.gettempdir())}:
        for path in directory.glob("aurion*"):
            if _is_another_stack(path):
                continue
            for file in _files_below(path, skipped):
                if not file.is_relative_to(home):
                    yield Piece("temporary files", str(file), _read(file))


def _is_another_stack(path: Path) -> bool:
    """Say whether a directory is what another stack keeps, which has a search of its own."""
    return any(True for depth in ("", "*/") for _ in path.glob(f"{depth}state.json"))


def _files_below(path: Path, skipped: set[Path]) -> Iterator[Path]:
    if path.is_symlink() or path in skipped:
        return
    if path.is_file():
        yield path
    elif path.is_dir():
        with suppress(PermissionError):
            for inner in sorted(path.iterdir()):
                yield from _files_below(inner, skipped)


def _kind_of(path: Path) -> str:
    if path.parts[0] == "logs" or path.suffix == ".log":
        return "logs"
    if path.parts[0] == "providers":
        return "what providers were sent"
    if path.name.startswith("desk.sqlite"):
        return "demo desk"
    return "temporary files" if path.parts[0] in {"tmp", "recordings"} else "state files"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes() if path.stat().st_size <= _MOST_OF_A_FILE else _UNREADABLE
    except OSError:  # a socket, or gone meanwhile
        return _UNREADABLE


def desk(path: Path) -> Iterator[Piece]:
    """Read every column of every table of the demo desk."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as conn:
        tables = conn.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in tables:
            quoted = '"' + table.replace('"', '""') + '"'
            cursor = conn.execute(f"SELECT * FROM {quoted}")  # noqa: S608 - names of its own tables
            rows = cursor.fetchall()
            for position, (column, *_) in enumerate(cursor.description):
                values = (_as_bytes(row[position]) for row in rows if row[position] is not None)
                yield Piece("demo desk", f"{table}.{column}", join(values))


def process_tables(running: State) -> Iterator[Piece]:
    """Read the command line and the environment of each of our processes."""
    for started in (running.owner, *running.processes):
        try:
            process = psutil.Process(started.pid)
            family = [process, *process.children(recursive=True)]
        except psutil.NoSuchProcess:
            continue
        for member in family:
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                environment = [f"{name}={value}" for name, value in member.environ().items()]
                lines = [*member.cmdline(), *environment]
                yield Piece("processes", started.name, join(line.encode() for line in lines))


def _as_bytes(value: object) -> bytes:
    return bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()
