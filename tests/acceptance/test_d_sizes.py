"""D12, D16, D17, D20, D21: bombs, giants, and the same thing again. One daemon meets them all."""

import gzip
import hashlib
import json

import pytest
import zstandard

from tests.acceptance.house import DEFAULTS, house, line
from tests.acceptance.memory import rss_max

pytestmark = pytest.mark.slow
MIB = 1 << 20


def test_d12_a_line_without_an_end_is_refused_in_flat_memory(home):
    """A line of 600 MB is refused at the line limit, and nobody's memory grows by it."""
    path = home.inbox / ".endless.tmp"
    with path.open("wb") as file:
        file.write(b'{"key":"')
        file.truncate(600 * MIB)  # a hole: NULs without an end
    path.rename(home.inbox / "endless.jsonl")

    refused = home.rejected("endless", 90)

    assert "flawed" in refused.reason
    assert "longer than" in refused.flaws[0]["message"]
    assert rss_max(home) < 400 * MIB


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("bomb.jsonl.gz", gzip.compress(b" " * 90 * MIB, 9), "unpacks to more than"),
        ("bomb.jsonl.zst", zstandard.compress(b" " * 90 * MIB, 19), "unpacks to more than"),
        ("torn.jsonl.gz", gzip.compress(line("a") * 99)[:-20], "cut short"),
        ("torn.jsonl.zst", zstandard.compress(line("a") * 99)[:-5], "cut short"),
        ("plain.jsonl.gz", line("a"), "gzip"),
        ("plain.jsonl.zst", line("a"), "zstd"),
        ("none.jsonl.gz", b"", "empty"),
        (
            "window.jsonl.zst",
            b"\x28\xb5\x2f\xfd" + b"\x00" + b"\xa8" + b"\x01\x00\x00",  # a window of 2 GiB
            "window",
        ),
    ],
)
def test_d16_what_cannot_be_unpacked_is_refused(home, name, data, why):
    """Bombs, torn and false archives are rejected with the reason, and left as they were."""
    rejected = home.state / "rejected"
    home.drop(name, data)

    summary = home.until(
        lambda: [one for one in rejected.glob("*/summary.json") if (one.parent / name).exists()],
        name,
    )[0]
    told = json.loads(summary.read_bytes())

    assert why in told["reason"]
    assert (summary.parent / name).read_bytes() == data


def test_d16_refusals_of_one_name_lie_beside_each_other(home):
    """A file that is refused again under its name is refused into NAME-2, and NAME stays."""
    home.drop("stubborn.jsonl", b"{\n")
    home.rejected("stubborn")
    home.drop("stubborn.jsonl", b"[\n")

    assert "flawed" in home.rejected("stubborn-2").reason
    assert (home.state / "rejected" / "stubborn" / "stubborn.jsonl").read_bytes() == b"{\n"
    assert (home.state / "rejected" / "stubborn-2" / "stubborn.jsonl").read_bytes() == b"[\n"


def test_d16_joined_members_are_one_file(home):
    """Concatenated gzip members and zstd frames are read to their end."""
    home.drop("joined-gz.jsonl.gz", gzip.compress(line("a")) + gzip.compress(line("b")))
    home.drop("joined-zst.jsonl.zst", zstandard.compress(line("a")) + zstandard.compress(line("b")))

    for name in ("joined-gz", "joined-zst"):
        assert [one["key"] for one in home.delivered(name)] == ["a", "b"]


def test_d17_a_request_too_large_for_the_service_is_a_flaw_and_others_go_on(home):
    """A request beyond the longest line is an error result; a 2 MB one is sent, in a file."""
    giant = line("giant", "x" * 20_000_001)
    home.drop(
        "giants.jsonl", line("a") + giant + line("big", "y" * 2 * MIB), "flaws_max_fraction = 0.5\n"
    )

    results = home.delivered("giants", 60)

    assert [one["key"] for one in results][::2] == ["a", "big"]
    assert "longer than" in results[1]["error"]["message"]
    assert "response" in results[2]


def test_d20_the_same_content_again_is_answered_from_the_first_run(tmp_path):
    """Dropped again under any name it costs nothing; `duplicate_set = "run"` pays again."""
    with house(tmp_path, config=f"{DEFAULTS}[retention]\nwork_days = 7\n") as one:
        data = line("again", "the same content")
        one.drop("again.jsonl", data)
        first = one.delivered("again")
        jobs, paid = len(one.jobs), one.paid["executed"]

        one.drop("again.jsonl", data)
        one.drop("another-name.jsonl", data)
        second, third = one.delivered("again-2"), one.delivered("another-name")
        assert (len(one.jobs), one.paid["executed"]) == (jobs, paid)
        one.drop("run-again.jsonl", data, 'duplicate_set = "run"\n')
        one.delivered("run-again")

        assert first == second == third
        assert len(one.jobs) == jobs + 1


def test_d20_a_drop_whose_first_run_was_tidied_away_is_run_for_itself(home):
    """When the first run's answers are gone by retention, the same content is run again."""
    data = line("tidied", "content of a tidied run")
    home.drop("tidied.jsonl", data)
    home.delivered("tidied")
    home.until(lambda: not list(home.work.glob("tidied*")), "retention")

    home.drop("tidied-again.jsonl", data)

    assert home.delivered("tidied-again", 10)[0]["key"] == "tidied"


def test_d20_other_content_under_a_name_is_a_set_of_its_own(home):
    """The same name with other content comes out beside the first, as NAME-2."""
    home.drop("renewed.jsonl", line("one", "content one"))
    one = home.delivered("renewed")
    before = hashlib.sha256((home.outbox / "renewed" / "results.jsonl").read_bytes()).digest()

    home.drop("renewed.jsonl", line("two", "content two"))
    two = home.delivered("renewed-2")

    assert (one[0]["key"], two[0]["key"]) == ("one", "two")
    after = hashlib.sha256((home.outbox / "renewed" / "results.jsonl").read_bytes()).digest()
    assert before == after


def test_d21_many_flaws_are_counted_and_few_are_kept(home):
    """A hundred thousand flawed lines are one rejection with a bounded list of them."""
    home.drop("flaws.jsonl", b"{\n" * 100_000)

    refused = home.rejected("flaws", 60)

    assert "100000 of 100000" in refused.reason
    assert len(refused.flaws) == 10_000
