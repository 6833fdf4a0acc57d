"""Our checks of signatures against the vendors' own: the same verdict, whatever arrives."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from datetime import timedelta
from urllib.parse import urlparse

import jwt
import pytest
from aurion import signatures
from aurion.errors import Forged
from hypothesis import given, settings
from hypothesis import strategies as st
from livekit import api
from starlette.datastructures import ImmutableMultiDict
from twilio.request_validator import RequestValidator, add_port, remove_port

TOKEN, TO = "12345", "/twilio/voice"
KEY, SECRET = "APIkey", "a secret that is long enough for anybody, and for the longest algorithm"
BODY = b'{"event":"room_started","id":"EV_1"}'
FIELDS = st.dictionaries(st.text(max_size=8), st.text(max_size=12), max_size=6)
PATHS = st.sampled_from(
    ["/twilio/voice", "/twilio/status?step=dialled", "/dev/twilio/voice?wait=3"]
)


def twilio_accepts(
    url: str, sent: list[tuple[str, str]] | bytes, signature: str, token: str = TOKEN
) -> bool:
    try:
        signatures.check_twilio(url, sent, signature=signature, auth_token=token)
    except Forged:
        return False
    return True


def test_twilio_s_published_example_is_accepted() -> None:
    # https://www.twilio.com/docs/usage/webhooks/webhooks-security
    url = "https://example.com/myapp.php?foo=1&bar=2"
    form = [
        ("Digits", "1234"),
        ("To", "+18005551212"),
        ("From", "+14158675310"),
        ("Caller", "+14158675310"),
        ("CallSid", "CA1234567890ABCDE"),
    ]
    assert RequestValidator("12345").validate(
        url, dict(form), signatures.sign_twilio(url, form, auth_token="12345")
    )
    assert twilio_accepts(url, form, "L/OH5YylLD5NRKLltdqwSvS0BnU=", "12345")


@given(path=PATHS, form=FIELDS, token=st.text(min_size=1, max_size=20))
@settings(max_examples=60, deadline=None)
def test_what_twilio_signs_is_accepted(path: str, form: dict[str, str], token: str) -> None:
    url = f"https://hooks.example.com{path}"
    signature = RequestValidator(token).compute_signature(url, form)
    assert twilio_accepts(url, list(form.items()), signature, token)
    assert signatures.sign_twilio(url, list(form.items()), auth_token=token) == signature


@given(path=PATHS, form=FIELDS, other=FIELDS, signature=st.text(max_size=40))
@settings(max_examples=60, deadline=None)
def test_what_twilio_s_validator_refuses_is_refused(
    path: str, form: dict[str, str], other: dict[str, str], signature: str
) -> None:
    url = f"https://hooks.example.com{path}"
    validator = RequestValidator(TOKEN)
    for shown in (signature, validator.compute_signature(url, other), ""):
        theirs = validator.validate(url, form, shown)
        assert twilio_accepts(url, list(form.items()), shown, TOKEN) == theirs


URLS = (
    "https://hooks.example.com/twilio/voice",
    "https://hooks.example.com:443/twilio/voice?wait=3",
    "https://hooks.example.com:8443/twilio/status?step=dialled&step=again&empty=",
    "http://127.0.0.1:8700/local/twilio/voice?q=%20%2B+a",
    "http://hooks.example.com:80/",
    "http://hooks.example.com/twilio/voice",
    "https://name:password@hooks.example.com/twilio/voice",
)


@pytest.mark.parametrize("signed_url", URLS)
@pytest.mark.parametrize("url", URLS)
def test_a_port_may_be_signed_or_not_and_nothing_else_differ(url: str, signed_url: str) -> None:
    form = {"CallSid": "CA1", "To": "+33100000000"}
    validator = RequestValidator(TOKEN)
    signature = validator.compute_signature(signed_url, form)
    accepted = twilio_accepts(url, list(form.items()), signature)
    assert accepted == validator.validate(url, form, signature) == (url == signed_url)
    for address in (remove_port(urlparse(url)), add_port(urlparse(url))):
        at_port = validator.compute_signature(address, form)
        assert validator.validate(url, form, at_port)
        assert twilio_accepts(url, list(form.items()), at_port)


PAIRS = st.lists(
    st.tuples(st.sampled_from(["Digits", "MediaUrl", "a", "b"]), st.text(max_size=4)), max_size=8
)


@given(form=PAIRS, sent=PAIRS)
@settings(max_examples=100, deadline=None)
def test_fields_that_repeat_get_twilio_s_verdict(
    form: list[tuple[str, str]], sent: list[tuple[str, str]]
) -> None:
    url, validator = f"https://hooks.example.com{TO}", RequestValidator(TOKEN)
    signature = validator.compute_signature(url, ImmutableMultiDict(form))
    assert twilio_accepts(url, form, signature)
    assert twilio_accepts(url, form[::-1], signature)
    theirs = validator.validate(url, ImmutableMultiDict(sent), signature)
    assert twilio_accepts(url, sent, signature) == theirs


@given(body=st.text(max_size=40), other=st.text(max_size=40))
@settings(max_examples=60, deadline=None)
def test_a_body_that_is_no_form_is_held_to_the_hash_in_its_address(body: str, other: str) -> None:
    validator = RequestValidator(TOKEN)
    url = f"https://hooks.example.com{TO}?a=1&bodySHA256={validator.compute_hash(body)}"
    for signature in (
        validator.compute_signature(url, {}),
        validator.compute_signature(add_port(urlparse(url)), {}),
        validator.compute_signature(url, {"a": "1"}),
        RequestValidator("another").compute_signature(url, {}),
    ):
        for sent in (body, other):
            theirs = validator.validate(url, sent, signature)
            assert twilio_accepts(url, sent.encode(), signature) == theirs
    assert twilio_accepts(url, body.encode(), validator.compute_signature(url, {}))


def test_a_body_whose_hash_the_address_does_not_have_is_refused() -> None:
    validator, body = RequestValidator(TOKEN), b'{"event": "ended"}'
    twice = f"bodySHA256={'0' * 64}&bodySHA256={hashlib.sha256(body).hexdigest()}"
    for query in ("", "bodySHA256=", "bodysha256=" + hashlib.sha256(body).hexdigest(), twice):
        url = f"https://hooks.example.com{TO}?{query}"
        assert not twilio_accepts(url, body, validator.compute_signature(url, {})), query


def livekit_accepts(body: bytes, token: str, *, now: float | None = None) -> bool:
    try:
        signatures.check_livekit(body, authorization=token, api_key=KEY, api_secret=SECRET, now=now)
    except Forged:
        return False
    return True


def livekit_s_own_accepts(body: bytes, token: str) -> bool:
    try:
        api.WebhookReceiver(api.TokenVerifier(KEY, SECRET)).receive(body.decode(), token)
    except Exception:  # noqa: BLE001 - it refuses with whatever comes to hand
        return False
    return True


def signed(body: bytes, *, key: str = KEY, secret: str = SECRET, lasts_s: int = 300) -> str:
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    token = api.AccessToken(key, secret).with_sha256(digest).with_ttl(timedelta(seconds=lasts_s))
    return token.to_jwt()


def made(claims: dict[str, object], *, secret: str = SECRET, algorithm: str = "HS256") -> str:
    return jwt.encode(claims, secret, algorithm=algorithm)


DIGEST = base64.b64encode(hashlib.sha256(BODY).digest()).decode()


def soon() -> int:
    return int(time.time()) + 300


# Made when they are used: a token is good for minutes.
TOKENS: dict[str, tuple[Callable[[], str], bool]] = {
    "right": (lambda: signed(BODY), True),
    "over for half a minute": (lambda: signed(BODY, lasts_s=-30), True),
    "over for longer than the leeway": (lambda: signed(BODY, lasts_s=-90), False),
    "another body's": (lambda: signed(BODY + b" "), False),
    "another project's": (lambda: signed(BODY, key="APIother"), False),
    "another secret's": (lambda: signed(BODY, secret=SECRET + "x"), False),
    "without a dot": (lambda: signed(BODY).replace(".", "", 1), False),
    "a bearer's": (lambda: f"Bearer {signed(BODY)}", False),
    "none": (lambda: "", False),
    "no token": (lambda: "a.b", False),
    "no text": (lambda: "ä.ö.ü", False),
    "bare": (lambda: made({"iss": KEY, "exp": soon(), "sha256": DIGEST}), True),
    "without an end": (lambda: made({"iss": KEY, "sha256": DIGEST}), False),
    "without a hash": (lambda: made({"iss": KEY, "exp": soon()}), False),
    "nobody's": (lambda: made({"exp": soon(), "sha256": DIGEST}), False),
    "not yet good": (
        lambda: made({"iss": KEY, "exp": soon(), "nbf": soon(), "sha256": DIGEST}),
        False,
    ),
    "of another algorithm": (
        lambda: made({"iss": KEY, "exp": soon(), "sha256": DIGEST}, algorithm="HS512"),
        False,
    ),
    "of no algorithm": (
        lambda: jwt.encode({"iss": KEY, "exp": soon(), "sha256": DIGEST}, "", algorithm="none"),
        False,
    ),
}


@pytest.mark.parametrize("kind", TOKENS)
def test_livekit_s_tokens_get_the_verdict_of_livekit_s_own_receiver(kind: str) -> None:
    make, accepted = TOKENS[kind]
    token = make()
    assert livekit_s_own_accepts(BODY, token) == accepted
    assert livekit_accepts(BODY, token) == accepted


def test_a_token_signed_rightly_over_wrong_parts_is_refused() -> None:
    for payload in (b"[]", b"1", b"no json", json.dumps({"iss": KEY}).encode()):
        head = base64.urlsafe_b64encode(b'{"alg":"HS256"}').rstrip(b"=").decode()
        body = base64.urlsafe_b64encode(payload).rstrip(b"=").decode()
        mac = hmac.new(SECRET.encode(), f"{head}.{body}".encode(), hashlib.sha256).digest()
        token = f"{head}.{body}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"
        assert not livekit_accepts(BODY, token)
