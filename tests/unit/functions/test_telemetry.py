"""What functions tell of themselves: where and what kind, and no value of anybody's."""

import json
import logging
from typing import Any

import pytest
from aurion import phone_phrases, telemetry
from aurion.errors import InternalFault, NumberTaken
from aurion.tenants import LANGUAGES

CANARY = "+33612345678"


def lines(capfd: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capfd.readouterr().out.splitlines()]


class Context:
    aws_request_id = "request-1"


def test_a_line_bears_function_request_and_fields(capfd: pytest.CaptureFixture[str]) -> None:
    @telemetry.entry("mail_letters")
    def handler(event: dict[str, Any], context: Any) -> str:
        logging.getLogger("aurion.letters").info("a letter left", extra={"call": "c-1"})
        telemetry.count("LettersLeft", 2, call="c-1")
        telemetry.count("LettersLost", 0)
        return "done"

    assert handler({}, Context()) == "done"
    line, metric = lines(capfd)
    assert line["message"] == "a letter left"
    assert (line["function"], line["request_id"], line["call"]) == (
        "mail_letters",
        "request-1",
        "c-1",
    )
    assert metric["LettersLeft"] == 2
    (described,) = metric["_aws"]["CloudWatchMetrics"]
    assert described["Namespace"] == "AurionAI"
    assert described["Dimensions"] == [["environment", "function"]]
    assert (metric["environment"], metric["function"]) == ("local", "mail_letters")


def test_an_unforeseen_fault_tells_its_kind_and_place_only(
    capfd: pytest.CaptureFixture[str],
) -> None:
    @telemetry.entry("mail_letters")
    def handler(event: dict[str, Any], context: Any) -> None:
        raise ValueError(f"the caller {CANARY}")

    with pytest.raises(InternalFault) as raised:
        handler({}, Context())
    # What the runtime would print of it holds no more.
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__
    (line,) = lines(capfd)
    assert line["error"] == "ValueError"
    assert any("test_telemetry.py" in place for place in line["at"])
    assert CANARY not in json.dumps(line)


def test_an_error_of_ours_stays_what_it_is(capfd: pytest.CaptureFixture[str]) -> None:
    @telemetry.entry("mail_letters")
    def handler(event: dict[str, Any], context: Any) -> None:
        raise NumberTaken

    with pytest.raises(NumberTaken):
        handler({}, Context())
    assert lines(capfd)[0]["error"] == "NumberTaken"


def test_a_logged_exception_shows_no_text_of_its_own(capfd: pytest.CaptureFixture[str]) -> None:
    @telemetry.entry("mail_letters")
    def handler(event: dict[str, Any], context: Any) -> None:
        try:
            raise ValueError(CANARY)
        except ValueError:
            logging.getLogger("aurion.letters").exception("a letter is lost")

    handler({}, Context())
    (line,) = lines(capfd)
    assert (line["error"], CANARY in json.dumps(line)) == ("ValueError", False)


def test_every_language_says_the_same_on_the_telephone() -> None:
    spoken = phone_phrases.names("en")
    assert all(phone_phrases.names(language) == spoken for language in LANGUAGES)
    for language in LANGUAGES:
        assert phone_phrases.get(language, "voice").startswith(language)
