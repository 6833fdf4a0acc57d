"""What `aurion prove` takes for proved: real TLS servers, and calls that go well or don't."""

import ssl
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from socket import socket
from threading import Thread
from typing import Any

import pytest
from aurion.trunks import Trunk

from local import proving
from local.proving import Call, Proof

ENCRYPTED = {
    "encrypted": True,
    "tls": "TLSv1.3",
    "cipher": "TLS_AES_256_GCM_SHA384",
    "server": "18.4",
}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate with its key for localhost, in one file."""
    folder = tmp_path_factory.mktemp("certificate")
    key, chain = folder / "key.pem", folder / "chain.pem"
    subprocess.run(
        [
            *(
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
            ),
            *("-nodes", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
            *("-days", "1", "-keyout", str(key), "-out", str(chain)),
        ],
        check=True,
        capture_output=True,
    )
    whole = folder / "whole.pem"
    whole.write_text(key.read_text() + chain.read_text())
    return whole


@contextmanager
def server(certificate: Path, newest: ssl.TLSVersion) -> Iterator[int]:
    """Take TLS connections of a version at most."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.minimum_version = min(newest, ssl.TLSVersion.TLSv1_2)
    context.maximum_version = newest
    with socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()

        def serve() -> None:
            while True:
                try:
                    plain, _ = listening.accept()
                except OSError:
                    return
                try:
                    context.wrap_socket(plain, server_side=True).close()
                except OSError:
                    plain.close()

        Thread(target=serve, daemon=True).start()
        yield listening.getsockname()[1]
        listening.shutdown(2)


@pytest.mark.parametrize(
    ("newest", "verdicts"),
    [(ssl.TLSVersion.TLSv1_3, ["pass", "pass"]), (ssl.TLSVersion.TLSv1_1, ["fail", "fail"])],
)
def test_a_server_of_tls_1_1_is_no_proof(
    certificate: Path, newest: ssl.TLSVersion, verdicts: list[str]
) -> None:
    trusting = ssl.create_default_context(cafile=certificate)
    with server(certificate, newest) as port:
        proofs = proving.look_at_hooks(f"https://localhost:{port}/hooks", context=trusting)
        assert [next(proofs).verdict, next(proofs).verdict] == verdicts
        assert proving.look_at_sip(f"localhost:{port}", context=trusting).verdict == verdicts[0]
        # Nobody vouches for this certificate.
        assert proving.look_at_sip(f"localhost:{port}").verdict == "fail"


def test_a_port_that_nobody_listens_on_proves_nothing() -> None:
    with socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"localhost:{closed.getsockname()[1]}"
        assert proving.look_at_sip(address).verdict == "fail"
        hooks = list(proving.look_at_hooks(f"https://{address}"))
    assert [proof.verdict for proof in hooks] == ["fail", "not proved", "fail"]


@pytest.mark.parametrize(
    ("change", "verdict"),
    [({}, "pass"), ({"tls": "TLSv1.2"}, "fail"), ({"encrypted": False, "tls": None}, "fail")],
)
def test_the_database_must_see_tls_1_3(change: dict[str, Any], verdict: str) -> None:
    assert proving.judge_database(ENCRYPTED | change).verdict == verdict


def test_every_trunk_of_ours_must_refuse_what_is_not_encrypted() -> None:
    sealed, plain = Trunk("aurion", "u", "p"), Trunk("aurion", "u", "p", encrypted=False)
    others = Trunk("other", "u", "p", encrypted=False)
    assert proving.judge_trunk([sealed, others]).verdict == "pass"
    assert proving.judge_trunk([sealed, plain]).verdict == "fail"
    assert proving.judge_trunk([others]).verdict == "fail"


def call(status: str, level: int = 0, outcome: str | None = None) -> Call:
    shown = {"id": "0b", "channel": "phone", "level": level, "outcome": outcome, "seconds": None}
    return {**shown, "status": status}


def follow(seen: Sequence[Call | None]) -> list[Proof]:
    """Lead nobody through a call that goes as its rows say; the last one stays."""
    rows: Iterator[Call | None] = iter(seen)
    last: list[Call | None] = [None]

    def newest() -> Call | None:
        last[0] = next(rows, last[0])
        return last[0]

    told: list[str] = []
    tell: Callable[[str], None] = told.append
    proofs = list(proving.watch("+33199000001", newest, tell, within_s=0.2, every_s=0.01))
    assert "+33199000001" in told[0]
    return proofs


def test_a_call_that_goes_well_proves_every_step() -> None:
    proofs = follow(
        [
            *(None, call("ringing"), call("active"), call("active", 1)),
            *(call("active", 1), call("closed", 1, "transferred")),
        ]
    )
    assert [proof.verdict for proof in proofs] == ["pass"] * 5


def test_what_was_not_seen_is_not_proved() -> None:
    hung_up = follow([call("ringing"), call("active"), call("closed", 0, "abandoned")])
    assert [p.verdict for p in hung_up] == ["pass", "pass", "not proved", "not proved", "pass"]
    unanswered = follow([call("ringing"), call("closed", 0, "failed")])
    assert [p.verdict for p in unanswered] == ["pass", *["not proved"] * 3, "pass"]
    assert [p.verdict for p in follow([None])] == ["fail"]
