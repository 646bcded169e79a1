"""Drops of the same content at the same moment are told apart, and nobody waits for ever."""

import pytest

from tests.judging.results import finished
from tests.life.town import Drop, Town, live


@pytest.mark.parametrize(("duplicates", "jobs"), [("reuse", 1), ("run", 2)])
def test_twins_dropped_at_once_are_both_delivered(duplicates: str, jobs: int):
    """One is the first run; the other is answered from it, or run again, as its options say."""

    async def scenario(town: Town) -> None:
        same = Drop("same", 3, options={"duplicate_set": duplicates})
        inbox = town.state / "inbox"
        for name in ("one", "two"):
            (inbox / f"{name}.toml").write_text(same.options_text)
        for name in ("one", "two"):
            (inbox / f".{name}").write_bytes(same.content)
            (inbox / f".{name}").rename(inbox / f"{name}.jsonl")

        await town.until(lambda: {"one", "two"} <= set(finished(town.state / "outbox")))

        assert len(town.jobs) == jobs
        assert [len(town.results(name)) for name in ("one", "two")] == [3, 3]

    live(scenario)
