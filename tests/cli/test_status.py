"""`status`, the verbs, and how refusals of the daemon end a command."""

import io
import json
import os
import pty
import select
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, strategies as st
from rich.console import Console

from orchestrator.cli import cells, screen, tables
from orchestrator.cli.sheet import Sheet
from orchestrator.cli.status import drawn as draw, lines, watch_lines

NOW = datetime(2026, 1, 2, 6, 0, tzinfo=UTC)
USED = {
    "prompt_tokens": 1_234_567,
    "cached_tokens": 0,
    "candidate_tokens": 45_000,
    "thought_tokens": 9,
}


@pytest.fixture
def report(shown):
    """Return a report with a set in every condition."""
    return {
        "status": shown.a_status(
            conditions=[
                {
                    "kind": "space", "subject": "", "message": "only 12 bytes are free",
                    "remedy": "free some space", "since": "2026-01-02T03:04:05Z",
                    "fatal": False, "passing": False,
                }
            ],
            projects=[
                {
                    "name": "default", "blocked": True, "reason": "the key was refused",
                    "remedy": "put in a new key", "since": None, "active_jobs": 3,
                    "active_jobs_max": 100, "enqueued_tokens": {},
                }
            ],
            reading=[{"name": "giant", "bytes_done": 512_000_000, "bytes_total": 2_000_000_000}],
        ),
        "sets": [
            shown.a_set(
                "prompts", answered=333, failed=5, open=662, oldest_job_age_seconds=4321,
                batches={"submitted": 2, "collected": 1}, cost="0.512000", cost_estimate="1.530000",
                usage=USED, estimated_end_at="2026-01-02T09:10:00Z",
            ),
            shown.a_set(
                "nightly", display="held", reason="max_cost_per_set: $50.00 spent",
                remedy="`orchestrator resume nightly` goes on", batches={"planned": 3}, usage=USED,
            ),
            shown.a_set(
                "evil\x1b[2J\u202ename", state="rejected", display="rejected", requests=7, open=0,
                failed=7, reason="7 of 7 lines are flawed", finished_at="2026-01-02T03:05:00Z",
            ),
            shown.a_set(
                "done", state="delivered", display="delivered", answered=1000, open=0,
                cost="1234.500000", finished_at="2026-01-02T05:00:00Z", batches={"collected": 4},
            ),
        ],
    }  # fmt: skip


def test_the_table_is_as_on_file(report, golden):
    """Headlines, what needs the operator, and a line a set."""
    golden("status.txt", "\n".join(lines(report, NOW)) + "\n")


def test_one_set_is_as_on_file(report, shown, golden):
    """The facts of a set and its batches, with what went wrong."""
    found = report["sets"][0] | {"outbox": "prompts"}
    batches = [
        shown.a_batch(
            1, state="collected", job_state=None, outcome="succeeded", age_seconds=90_000
        ),
        shown.a_batch(2, state="submitting", doubt="in_doubt", job=None, job_state=None),
        shown.a_batch(
            3, state="lapsed", outcome="failed", error={"code": 13, "message": "internal\x1b[0m"}
        ),
    ]

    golden("status-set.txt", "\n".join(lines({"set": found, "batches": batches}, NOW)) + "\n")


def test_what_is_not_known_is_not_said(report):
    """How long a daemon is degraded nobody noted; an end that did not come is overdue."""
    report["status"]["service"]["state"] = "degraded"
    report["sets"][0]["estimated_end_at"] = "2026-01-02T05:59:00Z"

    said = lines(report, NOW)

    assert said[0].startswith("orchestrator 0.1.0 degraded, up 2h03m (pid 4242), ")
    assert any(line.endswith("  overdue") for line in said)


def test_what_work_waits_for_is_said(report):
    """Work that waits for room is no trouble, but nobody has to guess why it stands."""
    report["status"]["projects"][0]["waits_for"] = "3 of 3 jobs of the project are active"

    said = tables.headlines(report["status"])

    assert "default waits: 3 of 3 jobs of the project are active" in said


def test_nothing_shown_can_speak_to_the_terminal(report):
    """Names and messages of others are printed as visible characters only."""
    assert all(line.isprintable() for line in lines(report, NOW))


def test_status_asks_the_daemon(call, daemon, shown):
    """The command prints what the daemon says."""
    daemon.sets = [shown.a_set("prompts")]

    ended = call("status")

    assert ended.code == 0
    assert "orchestrator 0.1.0 running for 2h03m (pid 4242)" in ended.out
    assert "prompts" in ended.out


def test_json_is_what_the_wire_says(call, daemon, shown):
    """With --json nothing is reworded."""
    daemon.sets = [shown.a_set("prompts")]

    report = json.loads(call("status", "--json").out)

    assert report == {"status": daemon.status, "sets": daemon.sets}


def test_only_the_last_finished_sets_are_shown(call, daemon, shown):
    """Old sets go off the screen unless --all asks for them; open ones never do."""
    daemon.sets = [
        shown.a_set(f"old{number}", display="delivered", state="delivered") for number in range(30)
    ] + [shown.a_set("open")]

    few, all_of_them = call("status"), call("status", "--all")

    assert "old9" in few.out
    assert "old10" not in few.out
    assert "open" in few.out
    assert "old29" in all_of_them.out


def test_a_set_is_found_by_name_or_id(call, daemon, shown):
    """Both lead to the same set; a third is said not to be there."""
    daemon.sets = [shown.a_set("prompts", id="abcdefghij")]
    daemon.batches = [shown.a_batch(1)]

    assert call("status", "prompts").out == call("status", "abcdefghij").out
    missing = call("status", "nothing")
    assert missing.code == os.EX_NOINPUT
    assert "there is no set 'nothing'; `orchestrator status` lists them" in missing.err


def test_the_beginning_of_an_id_is_enough(call, daemon, shown):
    """What the column ID shows can be typed; where it fits several sets that is said."""
    daemon.sets = [shown.a_set("a", id="abcdefghij"), shown.a_set("b", id="abczzzzzzz")]

    found = call("pause", "abcd")
    several, too_short = call("pause", "abc"), call("pause", "ab")

    assert daemon.orders == [("/v1/sets/abcdefghij:pause", None)]
    assert found.out == "a (abcdefghij): pause is done\n"
    assert "several sets have ids that begin with abc; give more" in several.err
    assert "there is no set 'ab'" in too_short.err


def test_a_name_comes_before_the_beginning_of_an_id(call, daemon, shown):
    """A set that is called like another's id is still the one that is meant."""
    daemon.sets = [shown.a_set("a", id="abcdefghij"), shown.a_set("abcd", id="zzzzzzzzzz")]

    call("pause", "abcd")

    assert daemon.orders == [("/v1/sets/zzzzzzzzzz:pause", None)]


def test_sets_of_one_name_are_told_apart(shown):
    """Each line has an id that only it begins with, and the folder of its results."""
    views = [
        shown.a_set("prompts", id="abcdexxxxx", outbox="prompts-2"),
        shown.a_set("prompts", id="abcdezzzzz", outbox="prompts"),
    ]

    rows = tables.set_rows(views, NOW)

    assert [row[:2] for row in rows] == [
        ("abcdex", "prompts → prompts-2"),
        ("abcdez", "prompts"),
    ]
    assert tables.short_ids(["abcdefghij"]) == ["abcd"]


def test_of_several_open_sets_of_a_name_none_is_guessed(call, daemon, shown):
    """An order for one of them asks for its id; with it the order is carried out."""
    daemon.sets = [shown.a_set("prompts", id="a" * 10), shown.a_set("prompts", id="b" * 10)]

    unclear, clear = call("cancel", "prompts"), call("cancel", "bbbb")

    assert unclear.code == os.EX_USAGE
    assert "2 open sets have this name: aaaaaaaaaa (running), bbbbbbbbbb (running)" in unclear.err
    assert daemon.orders == [("/v1/sets/bbbbbbbbbb:cancel", None)]
    assert clear.out == "prompts (bbbbbbbbbb): cancel is done\n"


@pytest.mark.parametrize(("verb", "meant"), [("pause", "b"), ("retry", "a")])
def test_of_sets_of_one_name_the_one_that_fits_is_meant(call, daemon, shown, verb, meant):
    """What is open is paused, what was finished last is retried; the answer says which it was."""
    daemon.sets = [
        shown.a_set("nightly", id="a" * 10, state="delivered", display="delivered",
                    finished_at="2026-01-02T05:00:00Z"),
        shown.a_set("nightly", id="b" * 10),
    ]  # fmt: skip

    ended = call(verb, "nightly")

    assert daemon.orders == [(f"/v1/sets/{meant * 10}:{verb}", None)]
    assert ended.out == f"nightly ({meant * 10}): {verb} is done\n"


def test_costs_and_tokens_are_shown_side_by_side(shown):
    """Tokens stay when there is a price; what is only expected is marked, and little is not 0."""
    used = USED | {"prompt_tokens": 100, "candidate_tokens": 30, "thought_tokens": 5}
    views = [
        shown.a_set("fresh", cost="0.000000", cost_estimate="0.000064", tokens=40),
        shown.a_set("half", cost="0.510000", cost_estimate="1.530000", usage=used),
        shown.a_set("unpriced", usage=used),
    ]

    found = [(tables.tokens(view), tables.cost(view)) for view in views]

    assert found == [("~40", "$0.00 of ~$0.000064"), ("135", "$0.51 of ~$1.53"), ("135", "-")]


@pytest.mark.parametrize(
    ("spent", "unpriced", "said"),
    [
        ("1.500000", [], "spent today $1.50"),
        (None, ["own"], "spent today unknown: no price is set"),
        ("1.500000", ["own"], "spent today $1.50 without own: no price is set"),
    ],
)
def test_the_headline_agrees_with_the_wire(shown, spent, unpriced, said):
    """Where nobody knows a price the headline does not say that nothing was spent."""
    status = shown.a_status()
    status["totals"] |= {"spent_today": spent, "unpriced": unpriced}

    assert tables.headlines(status)[0].endswith(said)


@pytest.mark.parametrize(
    ("command", "code", "status"),
    [
        (["status", "nope"], os.EX_NOINPUT, 404),
        (["status", "--nonsense"], os.EX_USAGE, None),
        (["check", "/not/there.jsonl"], os.EX_NOINPUT, None),
    ],
)
def test_who_asked_for_json_gets_errors_as_json(call, daemon, command, code, status):
    """Problem details stand on standard output, the same line as ever on standard error."""
    daemon.sets = []

    ended = call(*command, "--json")

    told = json.loads(ended.out)
    assert (ended.code, told["exit_code"], told.get("status")) == (code, code, status)
    assert ended.err == f"orchestrator: {told['detail']}; {told['remedy']}\n"


def test_without_a_daemon_json_says_so_too(call):
    """A script that parses the output finds the reason in it."""
    told = json.loads(call("status", "--json").out)

    assert told["title"] == "Unavailable"
    assert told["remedy"] == "start it with `orchestrator run`"


@pytest.mark.parametrize("verb", ["cancel", "pause", "resume", "retry", "delete-remote"])
def test_orders_reach_the_daemon(call, daemon, shown, verb):
    """A verb is posted for the set's id, and what was done is printed."""
    daemon.sets = [shown.a_set("prompts", id="abcdefghij")]

    ended = call(verb, "prompts")

    assert daemon.orders == [(f"/v1/sets/abcdefghij:{verb}", None)]
    assert ended.out == f"prompts: {verb} is done\n"


def test_resume_carries_the_cap(call, daemon, shown):
    """The amount reaches the daemon as it was written; what is none is a wrong command line."""
    daemon.sets = [shown.a_set("prompts", id="abcdefghij")]

    call("resume", "--cap", "25.00", "prompts")
    wrong = call("resume", "--cap", "-1", "prompts")

    assert daemon.orders == [("/v1/sets/abcdefghij:resume", {"cap": "25.00"})]
    assert wrong.code == os.EX_USAGE
    assert "must be an amount of US dollars" in wrong.err


def test_an_order_goes_to_each_set_that_is_named(call, daemon, shown):
    """One that is not there stops no other; it is said, and the code tells."""
    daemon.sets = [shown.a_set("monday"), shown.a_set("tuesday")]

    ended = call("cancel", "monday", "sunday", "tuesday")

    assert [path for path, _ in daemon.orders] == [
        "/v1/sets/mondayaaaa:cancel",
        "/v1/sets/tuesdayaaa:cancel",
    ]
    assert ended.out == "monday: cancel is done\ntuesday: cancel is done\n"
    assert ended.err.startswith("orchestrator: there is no set 'sunday'")
    assert (ended.code, ended.err.count("\n")) == (os.EX_NOINPUT, 1)


def test_each_refusal_is_a_line_and_what_was_done_is_json(call, daemon, shown):
    """Of several sets JSON is the list of what was done; of one it is that answer."""
    daemon.sets = [shown.a_set("monday"), shown.a_set("tuesday")]

    both = json.loads(call("pause", "--json", "monday", "tuesday").out)
    one = json.loads(call("pause", "--json", "monday").out)
    neither = call("pause", "--json", "sunday", "saturday")

    assert [each["verb"] for each in both] == ["pause", "pause"]
    assert one["verb"] == "pause"
    assert [each["detail"] for each in json.loads(neither.out)] == [
        "there is no set 'sunday'",
        "there is no set 'saturday'",
    ]
    assert len(neither.err.splitlines()) == 2


def test_who_may_order_nothing_is_told_so_once(call, daemon, shown):
    """Where no order can succeed the next set is not tried."""
    daemon.sets = [shown.a_set("monday"), shown.a_set("tuesday")]
    daemon.answer = (403, "orders are root's", "use sudo")

    ended = call("resume", "monday", "tuesday")

    assert (ended.code, ended.err) == (os.EX_NOPERM, "orchestrator: orders are root's; use sudo\n")


def test_words_about_a_doubt_reach_the_daemon(call, daemon, shown):
    """`absent` and `adopt` carry the batch, and the job."""
    daemon.sets = [shown.a_set("prompts", id="abcdefghij")]

    call("absent", "prompts", "orc1-x")
    call("adopt", "prompts", "orc1-x", "batches/y")

    assert daemon.orders == [
        ("/v1/sets/abcdefghij:absent", {"token": "orc1-x"}),
        ("/v1/sets/abcdefghij:adopt", {"token": "orc1-x", "job": "batches/y"}),
    ]


@pytest.mark.parametrize(
    ("status", "code"),
    [(403, os.EX_NOPERM), (404, os.EX_NOINPUT), (409, os.EX_TEMPFAIL), (503, os.EX_UNAVAILABLE)],
)
def test_a_refusal_ends_with_its_own_code(call, daemon, shown, status, code):
    """What the daemon declines is one line with its remedy."""
    daemon.sets = [shown.a_set("prompts")]
    daemon.answer = (status, "it is delivered", "use retry")

    ended = call("pause", "prompts")

    assert ended.code == code
    assert ended.err == "orchestrator: it is delivered; use retry\n"


def test_a_refused_order_names_the_set_as_it_was_asked_for(call, daemon, shown):
    """The daemon speaks of ids; who named a set reads the name, and which of that name it is."""
    daemon.sets = [shown.a_set("prompts", id="abcdefghij")]
    daemon.answer = (409, "abcdefghij is delivered", "use retry")

    by_name, by_id = call("pause", "prompts"), call("pause", "abcdefghij")

    assert by_name.err == "orchestrator: prompts (abcdefghij) is delivered; use retry\n"
    assert by_id.err == "orchestrator: abcdefghij is delivered; use retry\n"


def test_without_a_daemon_it_says_how_to_start_one(call):
    """No socket, no daemon: EX_UNAVAILABLE, and the command that starts one."""
    ended = call("status")

    assert ended.code == os.EX_UNAVAILABLE
    assert "start it with `orchestrator run`" in ended.err


def test_watching_without_a_terminal_prints_what_changes(daemon, shown):
    """Into a pipe, --watch prints lines only when they change, until it is interrupted."""
    daemon.sets = [shown.a_set("prompts")]
    with subprocess.Popen(
        [sys.executable, "-m", "orchestrator", "status", "--watch"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as watch:
        assert watch.stdout is not None
        until(watch.stdout, "0/1,000")
        daemon.sets = [shown.a_set("prompts", answered=500, open=500)]
        until(watch.stdout, "500/1,000")
        watch.send_signal(signal.SIGINT)
        code = watch.wait(10)

        assert code == 130
        assert watch.stderr is not None
        assert watch.stderr.read().strip() == ""


def test_watching_goes_on_when_the_daemon_comes_back(daemon, shown):
    """An upgrade of the daemon ends nobody's watch: it says that it waits, and goes on."""
    daemon.sets = [shown.a_set("prompts")]
    path = Path(daemon.server_address)
    with subprocess.Popen(
        [sys.executable, "-m", "orchestrator", "status", "--watch"],
        stdout=subprocess.PIPE,
        text=True,
    ) as watch:
        assert watch.stdout is not None
        until(watch.stdout, "0/1,000")
        path.rename(path.with_suffix(".away"))
        until(watch.stdout, "waiting for it")
        path.with_suffix(".away").rename(path)
        until(watch.stdout, "0/1,000")
        watch.send_signal(signal.SIGINT)

        assert watch.wait(10) == 130


@pytest.mark.parametrize("as_json", [False, True])
def test_that_time_passes_is_no_change(shown, capsys, as_json):
    """Jobs that grow older make no line of a watched pipe come again; what changes does."""
    young = shown.a_set(
        "prompts", oldest_job_age_seconds=9, estimated_end_at="2026-01-02T09:00:00Z"
    )
    old = young | {"oldest_job_age_seconds": 3600, "estimated_end_at": "2026-01-02T09:01:00Z"}
    further = old | {"answered": 500, "open": 500}
    late = shown.a_status()
    late["service"]["uptime_seconds"] = 99_999
    looks = [
        {"status": shown.a_status(), "sets": [young]},
        {"status": late, "sets": [old]},
        {"status": late, "sets": [further]},
    ]

    watch_lines(iter(looks), as_json=as_json)

    said = capsys.readouterr().out.splitlines()
    assert sum("prompts" in line for line in said) == 2
    assert sum("orchestrator 0.1.0" in line for line in said) == (0 if as_json else 1)


def until(stream, wanted):
    """Read lines until one has what is wanted."""
    for line in stream:
        if wanted in line:
            return
    raise AssertionError(f"{wanted} never came")


@pytest.mark.parametrize("no_colour", [True, False])
def test_a_terminal_gets_a_table_and_colours_unless_unwanted(daemon, shown, no_colour):
    """On a terminal the state is coloured; with NO_COLOR nothing is."""
    daemon.sets = [shown.a_set("prompts")]
    environ = os.environ | {"TERM": "xterm-256color"} | ({"NO_COLOR": "1"} if no_colour else {})
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "orchestrator", "status"], stdout=theirs, env=environ
    ) as command:
        os.close(theirs)
        text = _all_of(ours)
        command.wait(10)

    assert "prompts" in text
    assert ("\x1b[36m" in text) is not no_colour


def test_a_narrow_terminal_loses_columns_not_their_meaning():
    """Columns that may go are left out in their order until the rest fits."""
    columns, rows = ("A", "B", "C"), [("aaaa", "bbbb", "cccc")]

    kept = [screen.fitting(columns, rows, width, ("B", "C")) for width in (16, 15, 9)]

    assert kept == [[0, 1, 2], [0, 2], [0]]


@given(st.text(max_size=60), st.integers(3, 50))
def test_a_name_is_cut_by_what_it_takes_on_the_screen(name, room):
    """No cut name is wider than its room, and one that fits is whole; padding fills the room."""
    short = cells.cut(name, room)

    assert cells.width(short) <= room
    assert (short == name) == (cells.width(name) <= room)
    assert cells.width(cells.padded(short, room)) == room


def test_wide_characters_are_counted_as_what_they_take():
    """Ideographs and emoji take two cells, what joins or combines none: columns stay aligned."""
    assert [cells.width(text) for text in ("ab", "日本", "🎉", "e\u0301", "\u200d")] == [
        2,
        4,
        2,
        1,
        0,
    ]
    assert cells.cut("日本語の質問", 7) == "日本…問"
    assert screen.aligned(("A", "B"), [("日本", "x"), ("abc", "y")]) == [
        "A     B",
        "日本  x",
        "abc   y",
    ]


def screenful(report, width, height):
    """Return what a terminal of this size shows of a report, line by line."""
    screen_ = io.StringIO()
    console = Console(width=width, height=height, file=screen_, markup=False)
    console.print(draw(report, NOW, Sheet(console, height)))
    return screen_.getvalue().splitlines()


def test_one_long_name_takes_no_column_from_the_others(shown):
    """A rejected file of 190 characters leaves the table as it was; sets of one name differ."""
    long = "x" * 190
    views = [
        shown.a_set("prompts", batches={"submitted": 2}, oldest_job_age_seconds=4321),
        shown.a_set(long, outbox=f"{long}-2", state="rejected", display="rejected"),
    ]

    (_, head, _, first, second) = screenful({"status": shown.a_status(), "sets": views}, 160, None)

    assert head.split() == [name for name in tables.SET_COLUMNS if name]
    assert "2 submitted  1h12m/24h" in first
    assert second.split()[3].endswith("x-2")


@pytest.mark.parametrize(("width", "height"), [(40, 30), (80, 24), (120, 50)])
def test_what_does_not_fit_on_a_live_screen_is_counted(shown, width, height):
    """Five refusals and sixty sets: the table is seen, and how much more there is of both."""
    refused = [
        shown.a_set(f"r{n}", id=f"r{n}aaaaaaaa", state="rejected", display="rejected",
                    reason="7 of 7 lines are flawed", remedy=f"correct {'them ' * 30}",
                    finished_at="2026-01-02T05:00:00Z")
        for n in range(5)
    ]  # fmt: skip
    going = [shown.a_set(f"set{n}", id=f"{n:a>3}aaaaaaa".replace("0", "z")) for n in range(60)]

    lines_ = screenful({"status": shown.a_status(), "sets": [*refused, *going]}, width, height)

    seen = sum(" running " in line and "orchestrator" not in line for line in lines_)
    assert len(lines_) <= height
    assert seen >= 8
    assert lines_[-1] == f"and {65 - seen} more sets"


def test_a_screen_of_eighty_columns_has_what_matters_most(shown):
    """How far, what failed, what it costs and when it ends; the rest as there is room."""
    view = shown.a_set("prompts", failed=5, cost="0.510000", cost_estimate="1.530000",
                       estimated_end_at="2026-01-02T09:10:00Z")  # fmt: skip

    head = screenful({"status": shown.a_status(), "sets": [view]}, 80, None)[-3]

    assert {"ID", "SET", "STATE", "DONE", "FAILED", "COST", "END"} <= {*head.split()}


def _all_of(terminal):
    text = b""
    while select.select([terminal], [], [], 10)[0]:
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # the other end was closed
            break
        text += piece
    os.close(terminal)
    return text.decode()


def test_a_rejected_set_is_looked_for_where_it_lies(report):
    """Nothing of it was delivered: its page names the folder with its flaws, not the outbox."""
    refused = report["sets"][0] | {"outbox": "prompts", "state": "rejected"}

    page = lines({"set": refused, "batches": []}, NOW)

    assert any("nothing was sent" in line for line in page)
    assert not any(line.startswith(("tokens", "cost", "model", "generation")) for line in page)
    assert any(line.split() == ["flaws:", "rejected/prompts"] for line in page)
    assert not any("outbox/" in line for line in page)


@pytest.mark.parametrize(
    "command", [["status"], ["status", "prompts"], ["doctor", "--offline"], ["pause", "prompts"]]
)
def test_a_daemon_of_the_first_version_can_be_asked(call, daemon, command):
    """Between the two steps of an upgrade the command is newer than the daemon that runs."""
    answers = json.loads(Path(__file__).with_name("first_daemon.json").read_text("utf-8"))
    daemon.status, daemon.sets, daemon.batches = (answers[k] for k in ("status", "sets", "batches"))

    ended = call(*command)

    assert ended.err == ""
    assert "prompts" in ended.out or "the service cannot be reached" in ended.out


def test_what_to_do_is_never_cut_off(report, shown):
    """However long a reason is, the remedy behind it is shown whole; so is what a batch met."""
    long, advice = "a reason of the service's, " * 20, "`orchestrator resume --cap 75.00 nightly`"
    held = shown.a_set("nightly", display="held", reason=long, remedy=advice)
    report["sets"] = [held]
    report["status"]["conditions"][0] |= {"message": long, "remedy": advice}
    batch = shown.a_batch(1, state="lapsed", outcome="refused", detail=f"{long}; {advice}")

    above = lines(report, NOW)
    page = lines({"set": held, "batches": [batch]}, NOW)

    assert sum(line.endswith(advice) for line in above) == 2
    assert sum(line.endswith(advice) for line in page) == 2


def test_incidents_of_late_are_shown(shown):
    """What may have cost money is told for a week, the newest first, and how many there were."""
    twin = {
        "at": "2026-01-02T04:00:00Z", "kind": "paid_twice_suspected", "token": "orc1-x",
        "detail": "batches/b is a second job for the requests of orc1-x", "requests": 1200,
        "cost": "0.512000",
    }  # fmt: skip
    stray = {"kind": "stray", "token": None, "detail": "batches/s", "requests": 0}
    stray |= {"at": "2025-12-27T00:00:00Z", "cost": "0.000000"}
    old = twin | {"at": "2025-12-20T04:00:00Z"}
    status = shown.a_status(incidents=[twin, stray, old])
    status["totals"]["incidents"] = 5

    said = lines({"status": status, "sets": []}, NOW)

    assert said[1:4] == [
        f"incident 2h00m ago: paid_twice_suspected: {twin['detail']} (1,200 requests, about $0.51)",
        "incident 6d06h ago: stray: batches/s",
        "3 more before; --json has the newest",
    ]
    assert tables.incidents(shown.a_status(), NOW) == []
