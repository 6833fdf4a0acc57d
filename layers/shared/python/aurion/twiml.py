"""Answers to the telephone company, in its own markup."""

from collections.abc import Sequence
from xml.etree.ElementTree import Element, SubElement, tostring

from aurion import phone_phrases
from aurion.http import Response
from aurion.tenants import Language

type Verb = Element

LONGEST_CALL_S = 7200
"""How long a call may last."""

_RING_S = 30
_KEY_WITHIN_S = 8


def respond(*verbs: Verb) -> Response:
    """Answer with what is to be done, in order."""
    root = Element("Response")
    root.extend(verbs)
    text = '<?xml version="1.0" encoding="UTF-8"?>' + tostring(root, encoding="unicode")
    return Response(200, text, "text/xml")


def say(language: Language, name: str) -> Verb:
    """Say a sentence of `phone_phrases`."""
    verb = Element("Say", language=phone_phrases.get(language, "voice"))
    verb.text = phone_phrases.get(language, name)
    return verb


def hang_up() -> Verb:
    """End the call."""
    return Element("Hangup")


def wait_and_ask(url: str, *, seconds: int) -> Sequence[Verb]:
    """Be silent for a while, then ask this address what to do; as a call's first, it rings on."""
    again = Element("Redirect", method="POST")
    again.text = url
    return Element("Pause", length=str(seconds)), again


def dial_agent(
    address: str, *, username: str, password: str, caller: str, action: str, refer: str, legs: str
) -> Verb:
    """Dial a SIP address, encrypted, from Ireland; ask `action` what to do when that line is over.

    The caller goes on hearing it ring until it has answered. `legs` is told of the line's course,
    `refer` when the far end wants the caller to be passed on.
    """
    dial = Element(
        "Dial",
        action=action,
        method="POST",
        answerOnBridge="true",
        callerId=caller,
        referUrl=refer,
        referMethod="POST",
        timeLimit=str(LONGEST_CALL_S),
        timeout=str(_RING_S),
    )
    sip = SubElement(
        dial,
        "Sip",
        username=username,
        password=password,
        statusCallback=legs,
        statusCallbackEvent="initiated ringing answered completed",
        statusCallbackMethod="POST",
    )
    # `transport=tls` would leave the sound in the clear. Source:
    # https://www.twilio.com/docs/voice/api/secure-media
    sip.text = f"sip:{address};secure=true;region=ie1"
    return dial


def dial_number(number: str, *, action: str | None = None) -> Verb:
    """Dial a number (E.164), and ask `action` what to do when that line is over."""
    dial = Element("Dial", timeLimit=str(LONGEST_CALL_S), timeout=str(_RING_S))
    if action is not None:
        dial.set("action", action)
        dial.set("method", "POST")
    SubElement(dial, "Number").text = number
    return dial


def ask_for_key(*prompts: Verb, action: str) -> Verb:
    """Wait for one key while a prompt is said; no key is an answer too."""
    gather = Element(
        "Gather",
        action=action,
        actionOnEmptyResult="true",
        input="dtmf",
        method="POST",
        numDigits="1",
        timeout=str(_KEY_WITHIN_S),
    )
    gather.extend(prompts)
    return gather
