"""The acceptance list is whole: each case has its row; each row has tests, or says it is open."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
LIST = TESTS.parent / "docs" / "acceptance.md"
CASES = {"A": 17, "B": 38, "C": 15, "D": 22, "E": 15}
_ROW = re.compile(r"^\| ([A-E]\d+) \| (.*) \| (.*) \| (.*) \|$", re.MULTILINE)
_TEST = re.compile(r"`([\w/]+\.py)::(\w+)`")


def rows():
    """Return the rows of the list: number, tests, what the user sees."""
    return [(row[1], row[3], row[4]) for row in _ROW.finditer(LIST.read_text("utf-8"))]


def test_each_case_has_one_row():
    """All 107 cases are there, in order."""
    wanted = [
        f"{group}{number}" for group, count in CASES.items() for number in range(1, count + 1)
    ]

    assert [number for number, _, _ in rows()] == wanted


def test_each_row_names_tests_that_exist():
    """No row claims a proof that is not there, and none is without one."""
    missing = [
        f"{number}: {file}::{name}"
        for number, tests, _ in rows()
        for file, name in _TEST.findall(tests)
        if f"def {name}(" not in _text(TESTS / file)
    ]
    unproven = [number for number, tests, _ in rows() if not _TEST.findall(tests)]

    assert missing == []
    assert unproven == []


def _text(path: Path) -> str:
    return path.read_text("utf-8") if path.exists() else ""
