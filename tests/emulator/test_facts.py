"""The table of facts names tests that there are."""

import re
from pathlib import Path

HERE = Path(__file__).parent


def test_every_fact_has_its_test() -> None:
    """Each test that `facts.md` names is defined beside it, and every fact names one."""
    facts = [line for line in (HERE / "facts.md").read_text().splitlines() if line.startswith("| ")]
    tests = "".join(path.read_text() for path in HERE.glob("test_*.py"))
    defined = set(re.findall(r"def (test_\w+)\(", tests))

    for fact in facts[1:]:
        named = re.findall(r"`(test_\w+)`", fact)
        assert named, fact
        assert set(named) <= defined, fact
