"""The table of functions: what it says, and every way in which an entry can be wrong."""

from pathlib import Path

import pytest
from aurion import function_table
from aurion.errors import FunctionTableMalformed

TABLE = Path(__file__).parents[3] / "functions" / "functions.toml"
WHOLE = """
[[queue]]
name = "letters"
visibility_s = 900
max_receives = 5
runbook = "letters-queue"

[[function]]
name = "write_letters"
purpose = "Write what has to be written."
route = "POST /letters"
domain = "hooks"
auth = "none"
schedule = "rate(1 minute)"
queue = "letters"
triggers = ["http", "schedule", "queue"]
memory_mb = 512
timeout_s = 20
reserved_concurrency = 1
layers = ["shared", "core"]
database_roles = ["aurion_app"]
environment = ["DATABASE_HOST"]
grants = ["queue:letters:send", "content:use"]
[[function.alarm]]
metric = "Errors"
threshold = 1
period_s = 60
runbook = "function-errors"
"""


def test_the_table_of_this_product_is_sound() -> None:
    table = function_table.read(TABLE)
    assert table.function("twilio_voice").method == "POST"
    assert table.function("twilio_voice").path == "/twilio/voice"
    assert table.function("recordings_retention").queue == "retention"
    assert table.queue("retention").dead_letter_name == "retention-dead"


def test_a_whole_entry_is_read() -> None:
    function = function_table.parse(WHOLE).function("write_letters")
    assert function.triggers == ("http", "schedule", "queue")
    assert function.alarms[0].runbook == "function-errors"


@pytest.mark.parametrize(
    ("right", "wrong", "complaint"),
    [
        ('name = "write_letters"', 'name = "Write Letters"', "malformed name"),
        ('purpose = "Write what has to be written."', 'purpose = ""', "purpose"),
        ('triggers = ["http", "schedule", "queue"]', 'triggers = ["http"]', "without its route"),
        ('triggers = ["http", "schedule", "queue"]', "triggers = []", "none"),
        ('"http", "schedule"', '"http", "mail", "schedule"', "unknown trigger"),
        ('route = "POST /letters"', 'route = "LOOK /letters"', "malformed route"),
        ('domain = "hooks"', "", "without domain"),
        ('auth = "none"', "", "without domain and auth"),
        ('auth = "none"', 'auth = "trust"', "unknown auth"),
        ('domain = "hooks"', 'domain = "web"', "unknown domain"),
        ('"rate(1 minute)"', '"every minute"', "malformed schedule"),
        ("memory_mb = 512", "memory_mb = 64", "memory"),
        ("memory_mb = 512", 'memory_mb = "512"', "no number"),
        ("memory_mb = 512", "", "lacks memory_mb"),
        ("timeout_s = 20", "timeout_s = 40", "longer than its trigger waits"),
        ("visibility_s = 900", "visibility_s = 60", "outlives its queue"),
        ("reserved_concurrency = 1", "reserved_concurrency = 0", "no room"),
        ('"shared", "core"]', '"core"]', "lacks the layer"),
        ('"shared", "core"]', '"shared", "gpu"]', "unknown layer"),
        ('"shared", "core"]', '"shared", "shared"]', "repeats itself"),
        ('["aurion_app"]', '["postgres"]', "unknown database role"),
        ('["DATABASE_HOST"]', '["DATABASE_HOSTS"]', "settings do not know"),
        ('"content:use"', '"everything"', "malformed grant"),
        ('"queue:letters:send"', '"queue:parcels:send"', "granted queue:parcels:send"),
        ('queue = "letters"', 'queue = "parcels"', "unknown queue"),
        ('metric = "Errors"', 'metric = "errors"', "malformed metric"),
        ("period_s = 60", "period_s = 90", "whole minutes"),
        ("threshold = 1", "threshold = 0", "never ends"),
        ('runbook = "function-errors"', 'runbook = "Ask Sam"', "no runbook"),
        ('runbook = "letters-queue"', 'runbook = ""', "no runbook"),
        ("max_receives = 5", "max_receives = 0", "too often"),
        ("max_receives = 5", "max_receives = 5\ncolour = 1", "unknown key"),
        ("[[queue]]", "[[topic]]", "unknown section"),
        ("[[queue]]", "[[queue]", "no TOML"),
    ],
)
def test_a_wrong_entry_is_named(right: str, wrong: str, complaint: str) -> None:
    assert right in WHOLE
    with pytest.raises(FunctionTableMalformed, match=complaint):
        function_table.parse(WHOLE.replace(right, wrong))


def test_nothing_stands_there_twice() -> None:
    with pytest.raises(FunctionTableMalformed, match="twice"):
        function_table.parse(WHOLE + WHOLE.split("\n\n", 1)[1])


def test_a_function_without_an_alarm_is_refused() -> None:
    with pytest.raises(FunctionTableMalformed, match="no alarm"):
        function_table.parse(WHOLE.split("[[function.alarm]]")[0])
