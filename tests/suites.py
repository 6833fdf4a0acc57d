"""Hold a run of the tests to all of its suites: each must have run some, and none skipped any.

`python3 tests/suites.py build/tests.xml`, with what pytest's `--junitxml` wrote.
"""

import sys
import xml.etree.ElementTree as xml
from collections import Counter
from pathlib import Path

TESTS = Path(__file__).parent
SUITES = ("unit", "integration", "infra", "browser", "load", "evals", "e2e")


def faults(report: Path) -> list[str]:
    """Name the suites of which nothing ran, and the tests that were skipped."""
    ran: Counter[str] = Counter()
    found: list[str] = []
    for case in xml.parse(report).iter("testcase"):
        name = f"{case.get('classname')}.{case.get('name')}"
        if case.find("skipped") is not None:
            found.append(f"{name} was skipped")
            continue
        parts = name.split(".")
        ran[parts[parts.index("tests") + 1] if "tests" in parts else parts[0]] += 1
    return found + [f"nothing ran of tests/{suite}" for suite in SUITES if not ran[suite]]


def main(arguments: list[str]) -> int:
    """Say what is missing; 1 when something is."""
    found = faults(Path(arguments[0]))
    for fault in found:
        print(f"*** {fault} ***", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
