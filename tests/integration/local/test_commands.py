"""The commands that operate the product, run as their user runs them."""

import json
from pathlib import Path

from tests.integration.local.conftest import RunningStack


def test_people_of_the_seed_are_listed_without_badges(stack: RunningStack) -> None:
    listed = stack.run("people", "list")
    assert listed.returncode == 0, listed.stderr
    for name in ("Alice Martin", "Tom Becker", "Claire Dubois"):
        assert name in listed.stdout
    assert listed.stdout.count("Julien Moreau") == 2
    for badge in ("471129", "803556", "290416"):
        assert badge not in listed.stderr + listed.stdout


def test_import_names_rejected_rows_by_line_and_reason_only(
    stack: RunningStack, tmp_path: Path
) -> None:
    file = tmp_path / "people.csv"
    file.write_text(
        "name,badge_id,language,email,phone\n"
        "Zoe Adams,550011,en,zoe.adams@meridian.example,\n"
        "Yann Bernard,77x001,fr,yann.bernard@meridian.example,\n"
        ",660022,fr,nobody@meridian.example,\n"
        "Xavier Colin,880033,fr,not-an-address,\n"
    )
    imported = stack.run("people", "import", str(file))
    assert imported.returncode == 1
    assert "1 added" in imported.stderr
    for line in ("line 3: has a badge ID", "line 4: has no name", "line 5: has an e-mail address"):
        assert line in imported.stderr
    for value in ("550011", "77x001", "660022", "880033", "Yann", "Xavier", "not-an-address"):
        assert value not in imported.stderr + imported.stdout
    again = stack.run("people", "import", str(file))
    assert "0 added, 0 changed, 1 unchanged" in again.stderr


def test_companies_and_numbers_are_added(stack: RunningStack) -> None:
    added = stack.run("tenant", "add", "Nordlicht Energie", "--language", "de", "--language", "en")
    assert added.returncode == 0, added.stderr
    numbered = stack.run("number", "add", "+33199000077", "--tenant", "nordlicht energie")
    assert numbered.returncode == 0, numbered.stderr
    listed = stack.run("tenant", "list").stdout
    assert "Nordlicht Energie" in listed
    assert "+33199000077" in listed

    taken = stack.run("number", "add", "+33199000077")
    assert taken.returncode == 1
    assert "Another tenant has this number" in taken.stderr
    malformed = stack.run("number", "add", "0199000077")
    assert malformed.returncode == 1


def test_company_that_is_not_there_is_named_as_the_trouble(stack: RunningStack) -> None:
    answer = stack.run("people", "list", "--tenant", "Nobody & Sons")
    assert answer.returncode == 1
    assert "--tenant" in answer.stderr


def test_typed_call_gives_one_object_and_talks_on_stderr(stack: RunningStack) -> None:
    call = stack.run("call", "--text", "--from", "+33612345678", "--json", stdin=ALICE)
    assert call.returncode == 0, call.stderr
    told = json.loads(call.stdout)
    assert told["channel"] == "text"
    assert (told["caller"], told["level"], told["language"]) == ("Alice Martin", 1, "en")
    assert told["outcome"] == "ticket"
    assert [ticket["done"] for ticket in told["tickets"]] == ["opened"]
    assert told["recording"] is None
    assert {turn["speaker"] for turn in told["turns"]} <= {"caller", "agent", "tool"}
    assert any("VPN" in turn["text"] for turn in told["turns"])
    waits = [turn["reply_ms"] for turn in told["turns"] if turn["speaker"] == "agent"]
    assert any(isinstance(wait, int) for wait in waits)
    assert "471129" not in call.stdout + call.stderr
    assert "Alice Martin, level 1" in call.stderr

    shown = stack.run("calls", "show", told["call"][:8])
    assert shown.returncode == 0, shown.stderr
    assert told["tickets"][0]["number"] in shown.stdout
    assert "471129" not in shown.stderr + shown.stdout
    assert told["call"][:8] in stack.run("calls", "list").stdout


def test_call_to_a_number_nobody_has_ends_with_a_sentence(stack: RunningStack) -> None:
    call = stack.run("call", "--text", "--to", "+33199999999", stdin="Hello\n")
    assert call.returncode == 1
    assert "No tenant has this number" in call.stderr


def test_call_needs_exactly_one_way_to_speak(stack: RunningStack) -> None:
    assert stack.run("call").returncode == 2
    assert stack.run("call", "--text", "--caller", "alice").returncode == 2
    assert stack.run("call", "--caller", "mallory").returncode == 2


ALICE = """\
Hi, this is Alice Martin.
My badge number is four seven one one two nine.
My VPN keeps disconnecting since this morning.
I already restarted the laptop, but it did not help.
Yes, please open a ticket.
No, that is all. Thank you, goodbye.
"""
