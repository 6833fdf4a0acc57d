"""The search for a badge: clean when nothing leaked, and red for a leak planted in each sink."""

import io
import json
import sqlite3
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import av
import numpy as np
import psutil
import psycopg
import pytest
from aurion import storage

from local.aws import RECORDINGS_BUCKET, Aws
from local.caller import read_audio
from local.postgres import Postgres
from local.recorded_callers import RECORDED_CALLERS
from local.scan.sound import broken_intervals, decode, keys_pressed
from tests.integration.local.conftest import RunningStack

# One badge for each place, so that a hit says which leak it is.
LEAKS = {
    "turn": "905172",
    "split over two turns": "905271",
    "draft": "905317",
    "deleted row": "905713",
    "database log": "906128",
    "object": "906281",
    "metadata": "906812",
    "old version": "906821",
    "queue": "907136",
    "dead letter": "907361",
    "secret": "908143",
    "log": "908314",
    "temporary file": "908341",
    "machine's temporary file": "908413",
    "state file": "908431",
    "desk": "913052",
    "provider": "915023",
    "command line": "916034",
    "environment": "917043",
    "heard": "471129",
    "keys": "918046",
}
SINKS = {
    "turn": "database",
    "split over two turns": "database",
    "draft": "database",
    "deleted row": "database files",
    "database log": "database log",
    "object": "objects",
    "metadata": "objects",
    "old version": "objects",
    "queue": "queues",
    "dead letter": "queues",
    "secret": "secrets",
    "log": "logs",
    "temporary file": "temporary files",
    "machine's temporary file": "temporary files",
    "state file": "state files",
    "desk": "demo desk",
    "provider": "what providers were sent",
    "command line": "processes",
    "environment": "processes",
    "heard": "recordings",
    "keys": "recordings",
}


class Planted:
    """The running stack, with leaks in it."""

    def __init__(self, stack: RunningStack, undo: ExitStack) -> None:
        self.stack = stack
        self.undo = undo
        environment = stack.state["environment"]
        port = int(environment["DATABASE_PORT"])
        self.server = Postgres(stack.home / "postgres", port=port)
        self.aws = Aws(stack.home / "unused", port=urlsplit(environment["AWS_ENDPOINT_URL"]).port)
        self.tenant = stack.state["tenant_id"]

    def sql(self, query: str, *values: Any) -> None:
        with psycopg.connect(self.server.dsn("aurion"), autocommit=True) as conn:
            conn.execute(query, values)  # type: ignore[arg-type]

    def call(self) -> uuid.UUID:
        call_id = uuid.uuid4()
        self.sql(
            "INSERT INTO aurion.calls (tenant_id, id, channel, recording, lease_until, status)"
            " VALUES (%s, %s, 'local', true, now() + interval '1 hour', 'active')",
            self.tenant,
            call_id,
        )
        self.undo.callback(self.sql, "DELETE FROM aurion.calls WHERE id = %s", call_id)
        return call_id

    def file(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        self.undo.callback(path.unlink, missing_ok=True)

    def recording(self, sound: np.ndarray, guarded: list[list[int]]) -> None:
        call_id = self.call()
        key = storage.recording_key(uuid.UUID(self.tenant), call_id)
        s3 = self.aws.client("s3")
        s3.put_object(Bucket=RECORDINGS_BUCKET, Key=key, Body=ogg(sound))
        self.undo.callback(s3.delete_object, Bucket=RECORDINGS_BUCKET, Key=key)
        self.sql(
            "INSERT INTO aurion.recordings"
            " (tenant_id, call_id, status, object_key, guarded_intervals, duration_ms)"
            " VALUES (%s, %s, 'stored', %s, %s::jsonb, 1)",
            self.tenant,
            call_id,
            key,
            json.dumps(guarded),
        )


def ogg(sound: np.ndarray) -> bytes:
    """Encode two channels of 16 kHz int16."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="ogg") as container:
        stream = container.add_stream("libopus", rate=16_000, layout="stereo")
        interleaved = np.ascontiguousarray(sound.T).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(interleaved, format="s16", layout="stereo")
        frame.sample_rate = 16_000
        container.mux([*stream.encode(frame), *stream.encode(None)])
    return buffer.getvalue()


def dtmf(digits: str) -> np.ndarray:
    """Press keys, as a telephone makes them sound."""
    low, high = (697, 770, 852, 941), (1209, 1336, 1477)
    places = {key: divmod(n, 3) for n, key in enumerate("123456789*0#")}
    times = np.arange(1_600) / 16_000
    pieces: list[np.ndarray] = []
    for digit in digits:
        row, column = places[digit]
        tone = np.sin(2 * np.pi * low[row] * times) + np.sin(2 * np.pi * high[column] * times)
        pieces += [tone * 6_000, np.zeros(1_600)]
    return np.concatenate(pieces).astype(np.int16)


def on_caller_channel(samples: np.ndarray) -> np.ndarray:
    return np.stack([samples, np.zeros_like(samples)])


def plant_everything(planted: Planted) -> None:
    """Leave each badge in its place, in one form or another."""
    stack, aws, undo = planted.stack, planted.aws, planted.undo
    call_id = planted.call()

    for seq, text in enumerate(
        ["my badge is 9-0-5-1-7-2", "nine zero five two", "seven one, yes"], start=1
    ):
        planted.sql(
            "INSERT INTO aurion.turns (tenant_id, call_id, seq, epoch, speaker, text)"
            " VALUES (%s, %s, %s, 0, 'caller', %s)",
            planted.tenant,
            call_id,
            seq,
            text,
        )
    planted.sql(
        "INSERT INTO aurion.drafts (tenant_id, call_id, kind, idempotency_key, ciphertext)"
        " VALUES (%s, %s, 'open', 'planted', %s)",
        planted.tenant,
        call_id,
        LEAKS["draft"].encode("utf-16"),
    )
    planted.sql("CREATE TABLE public.kept (line text)")
    undo.callback(planted.sql, "DROP TABLE public.kept")
    planted.sql("INSERT INTO public.kept VALUES (%s)", f"badge {LEAKS['deleted row']}")
    planted.sql("DELETE FROM public.kept")
    planted.sql(f"DO $$ BEGIN RAISE WARNING 'badge {LEAKS['database log']}'; END $$")

    s3, sqs = aws.client("s3"), aws.client("sqs")
    s3.put_object(Bucket=RECORDINGS_BUCKET, Key="a", Body=LEAKS["object"].encode().hex().encode())
    s3.put_object(Bucket=RECORDINGS_BUCKET, Key="b", Body=b"", Metadata={"note": LEAKS["metadata"]})
    s3.create_bucket(
        Bucket="versions", CreateBucketConfiguration={"LocationConstraint": "eu-west-3"}
    )
    s3.put_bucket_versioning(Bucket="versions", VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket="versions", Key="c", Body=LEAKS["old version"].encode())
    s3.put_object(Bucket="versions", Key="c", Body=b"clean")
    s3.delete_object(Bucket="versions", Key="c")
    s3.create_multipart_upload(Bucket="versions", Key="never finished")
    undo.callback(empty_bucket, s3, "versions")
    for key in "ab":
        undo.callback(s3.delete_object, Bucket=RECORDINGS_BUCKET, Key=key)

    for leak, url in (("queue", "planted"), ("dead letter", "planted-dead")):
        aws.provision_queue("planted")
        address = sqs.get_queue_url(QueueName=url)["QueueUrl"]
        sqs.send_message(QueueUrl=address, MessageBody=json.dumps({"badge": LEAKS[leak]}))
        undo.callback(sqs.delete_queue, QueueUrl=address)
    secrets = aws.client("secretsmanager")
    secrets.create_secret(Name="planted", SecretString=LEAKS["secret"])
    undo.callback(secrets.delete_secret, SecretId="planted", ForceDeleteWithoutRecovery=True)

    planted.file(stack.home / "logs" / "planted.log", f"heard: {' '.join(LEAKS['log'])}")
    planted.file(stack.home / "tmp" / "planted", LEAKS["temporary file"][::-1])
    planted.file(Path(tempfile.gettempdir()) / "aurion-planted", LEAKS["machine's temporary file"])
    planted.file(stack.home / "planted.json", json.dumps(list(LEAKS["state file"])))
    planted.file(
        stack.home / "providers" / "claude.jsonl",
        json.dumps({"content": "neuf un cinq zéro deux trois"}) + "\n",
    )
    with closing(sqlite3.connect(stack.home / "desk.sqlite")) as desk:
        desk.execute("CREATE TABLE planted (line TEXT)")
        desk.execute("INSERT INTO planted VALUES (?)", [f"badge {LEAKS['desk']}"])
        desk.commit()
    undo.callback(forget_desk_table, stack.home / "desk.sqlite")

    sentence = read_audio(RECORDED_CALLERS["alice"][1])
    planted.recording(on_caller_channel(sentence), guarded=[[0, len(sentence) // 16]])
    planted.recording(on_caller_channel(dtmf(LEAKS["keys"])), guarded=[])


def plant_process(planted: Planted) -> None:
    """Have the state name a process that was started carelessly."""
    process = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)", LEAKS["command line"]],
        env={"BADGE": LEAKS["environment"]},
    )
    planted.undo.callback(process.wait)
    planted.undo.callback(process.kill)
    state_file = planted.stack.home / "state.json"
    before = state_file.read_text()
    planted.undo.callback(state_file.write_text, before)
    state = json.loads(before)
    started_at = psutil.Process(process.pid).create_time()
    state["processes"].append({"name": "careless", "pid": process.pid, "started_at": started_at})
    state_file.write_text(json.dumps(state))


def empty_bucket(s3: Any, bucket: str) -> None:
    for upload in s3.list_multipart_uploads(Bucket=bucket).get("Uploads", []):
        s3.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
    versions = s3.list_object_versions(Bucket=bucket)
    for version in [*versions.get("Versions", []), *versions.get("DeleteMarkers", [])]:
        s3.delete_object(Bucket=bucket, Key=version["Key"], VersionId=version["VersionId"])
    s3.delete_bucket(Bucket=bucket)


def forget_desk_table(path: Path) -> None:
    with closing(sqlite3.connect(path)) as desk:
        desk.execute("DROP TABLE planted")
        desk.commit()


@pytest.fixture
def planted(stack: RunningStack) -> Iterator[Planted]:
    with ExitStack() as undo:
        leaks = Planted(stack, undo)
        plant_everything(leaks)
        plant_process(leaks)
        yield leaks


def test_badges_of_the_seed_are_nowhere(stack: RunningStack) -> None:
    searched = stack.run("scan", "--json", stdin="471129\n803556\n290416\n")
    assert searched.returncode == 0, searched.stderr
    told = json.loads(searched.stdout)
    assert told["hits"] == []
    looked_at = {sink for sink, amount in told["sinks"].items() if amount["pieces"]}
    assert looked_at >= {"database", "database files", "database log", "queues", "secrets"}
    assert looked_at >= {"logs", "state files", "demo desk", "processes"}


def test_leak_in_each_sink_is_found_there(planted: Planted) -> None:
    searched = planted.stack.run("scan", "--json", stdin="\n".join(LEAKS.values()))
    assert searched.returncode == 1, searched.stderr
    told = json.loads(searched.stdout)
    numbers = dict(enumerate(LEAKS, start=1))
    found: dict[str, set[str]] = {leak: set() for leak in LEAKS}
    for hit in told["hits"]:
        if hit["value"] is not None:
            found[numbers[hit["value"]]].add(hit["sink"])
    missed = {leak: SINKS[leak] for leak in LEAKS if SINKS[leak] not in found[leak]}
    assert not missed
    whys = [hit["form"] for hit in told["hits"] if hit["value"] is None]
    assert any("unfinished upload" in why for why in whys)
    assert any("sound in a guarded stretch" in why for why in whys)
    for value in LEAKS.values():
        assert value not in searched.stdout + searched.stderr


def test_search_without_a_value_is_refused(stack: RunningStack) -> None:
    assert stack.run("scan", stdin="\n").returncode == 2


def test_guarded_stretch_must_be_all_zero() -> None:
    sound = np.zeros((2, 96_000), np.float32)
    assert broken_intervals(sound, [[0, 2_000]]) == []
    sound[0, 47_999] = 1e-4
    assert broken_intervals(sound, [[0, 900], [900, 1_000]]) == [900]
    sound[0, 47_999] = 0
    sound[1] = 0.5  # the agent may speak meanwhile
    assert broken_intervals(sound, [[0, 2_000]]) == []


def test_keys_are_heard_and_speech_is_no_key() -> None:
    pressed = decode(ogg(on_caller_channel(dtmf("0918046#"))))
    assert keys_pressed(pressed[0]) == "0918046#"
    assert keys_pressed(pressed[1]) == ""
    for file in (*RECORDED_CALLERS["alice"], *RECORDED_CALLERS["claire"]):
        spoken = decode(ogg(on_caller_channel(read_audio(file))))
        assert len(keys_pressed(spoken[0])) < 3
