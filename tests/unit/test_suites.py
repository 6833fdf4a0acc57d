"""The build fails when a suite ran nothing, or a test was skipped."""

from pathlib import Path

from tests import suites


def report(folder: Path, *cases: str) -> Path:
    file = folder / "tests.xml"
    file.write_text(f"<testsuites><testsuite>{''.join(cases)}</testsuite></testsuites>")
    return file


def case(name: str, inside: str = "") -> str:
    return f'<testcase classname="{name}" name="test_it">{inside}</testcase>'


ALL = [case(f"tests.{suite}.test_something.TestClass") for suite in suites.SUITES]


def test_a_whole_run_passes(tmp_path: Path) -> None:
    assert suites.faults(report(tmp_path, *ALL)) == []
    assert suites.main([str(report(tmp_path, *ALL))]) == 0


def test_a_suite_of_which_nothing_ran_is_named(tmp_path: Path) -> None:
    assert suites.faults(report(tmp_path, *ALL[1:])) == ["nothing ran of tests/unit"]
    assert suites.main([str(report(tmp_path))]) == 1


def test_a_skipped_test_is_named_and_counts_for_nothing(tmp_path: Path) -> None:
    skipped = case("tests.unit.test_something", "<skipped/>")
    assert suites.faults(report(tmp_path, skipped, *ALL[1:])) == [
        "tests.unit.test_something.test_it was skipped",
        "nothing ran of tests/unit",
    ]


def test_every_folder_of_tests_is_a_suite() -> None:
    folders = {
        file.relative_to(suites.TESTS).parts[0] for file in suites.TESTS.glob("*/**/test_*.py")
    }
    assert folders == set(suites.SUITES)
