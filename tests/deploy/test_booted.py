"""The unit under a real systemd: a whole job inside its sandbox, from start to upgrade.

One machine is booted for all tests, and set up by the commands of the operator's guide as the guide
shows them. Each test leaves the daemon as it found it: running.
"""

import json
import re
import shutil

import pytest

from tests.deploy import machine as machines
from tests.deploy.machine import KEY, PROGRAM, SOURCES, booted, debian, furnish
from tests.docs.pages import commands_of

pytestmark = [pytest.mark.soak, pytest.mark.timeout(600)]

MIGRATIONS = "/opt/orchestrator/lib/python3.11/site-packages/orchestrator/_migrations/versions"
COMPLETED = """\
eval "$(orchestrator completion bash)"
COMP_WORDS=(orchestrator sta) COMP_CWORD=1
_orchestrator_completion orchestrator sta orchestrator
echo "${COMPREPLY[@]}"
"""
PROBE = """\
import pathlib, sys
for place in sys.argv[1:]:
    try:
        pathlib.Path(place).touch()
    except OSError:
        continue
    print(place)
"""
LATER = '''\
"""A change that a later version makes."""

from alembic import op

revision = "9999"
down_revision = "{head}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add an index."""
    op.execute("CREATE INDEX a_later_index ON batches (state)")
'''


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    """Boot a machine with the daemon running in it; say loudly why not."""
    if why := machines.missing():
        pytest.skip(f"the unit was NOT tried under systemd: {why}")
    scratch = tmp_path_factory.mktemp("machine")
    root = scratch / "root"
    debian(root)
    furnish(root)
    with booted(root, scratch / "log") as there:
        settle(there)
        yield there
    shutil.rmtree(root)


def settle(machine):
    """Do what the guide says, in its words; between its blocks is what it leaves to the reader."""
    (install,) = commands_of("docs/operate.md", "Install")
    set_up, start, _ = commands_of("docs/operate.md", "systemd")
    machine.type(install)
    machine.type(set_up, given=KEY + "\n")
    machine.write("/etc/orchestrator/config.toml", machines.SETTINGS)
    machine.run("systemctl", "start", "emulator")
    machine.type(start)


@pytest.fixture(autouse=True)
def as_installed(machine):
    """Undo what a test adjusted, and begin with a running daemon."""
    machine.adjust()
    machine.attempt("systemctl", "reset-failed", "orchestrator")
    machine.run("systemctl", "restart", "orchestrator")


def drop(machine, name, count=300):
    """Let alice drop a file of requests; return the name of the set."""
    requests = [
        {"key": f"{name}-{n}", "request": {"contents": [{"parts": [{"text": f"{name} {n}"}]}]}}
        for n in range(count)
    ]
    text = "".join(json.dumps(each) + "\n" for each in requests)
    machine.run(PROGRAM, "submit", "-", "--name", name, user="alice", given=text)
    return name


def results(machine, name):
    """Wait for a set and return its results, as alice reads them."""
    folder = f"/var/lib/orchestrator/outbox/{name}"
    machine.until(
        lambda: machine.attempt("test", "-e", f"{folder}/summary.json").returncode == 0,
        f"delivered {name}",
    )
    said = machine.run("cat", f"{folder}/results.jsonl", user="alice")
    return [json.loads(line) for line in said.splitlines()]


def assert_whole(found, name, count=300):
    """Each request was answered, once, in order."""
    assert [each["key"] for each in found] == [f"{name}-{n}" for n in range(count)]
    assert all("response" in each for each in found)


def under_way(machine):
    """Wait until jobs are at the service."""
    machine.until(lambda: machine.status()["totals"]["batches"]["submitted"] > 0, "submitted")


def restarts(machine):
    """Return how often systemd has restarted the daemon."""
    return int(machine.show("NRestarts"))


def test_what_the_guide_installed_is_found_by_its_name(machine):
    """Root by sudo, a user, `man` and the shell's completion find the program as the guide says."""
    version = machine.type("sudo orchestrator --version")
    page = machine.run("man", "orchestrator", user="alice")
    completed = machine.run("bash", "-euc", COMPLETED, user="alice")

    assert re.fullmatch(r"orchestrator \d\S+\n", version)
    assert version == machine.run(PROGRAM, "--version", user="alice")
    assert "orchestrator doctor" in page
    assert "status" in completed
    assert machine.run("systemctl", "is-enabled", "orchestrator") == "enabled\n"


def test_start_returns_when_the_daemon_serves(machine):
    """`systemctl start` ends when the status can be asked for, and the unit says what goes on."""
    assert machine.show("ActiveState") == "active"
    assert machine.status()["service"]["state"] == "running"
    assert machine.show("StatusText").startswith("running: 0 sets open")
    assert machine.status()["service"]["pid"] == int(machine.show("MainPID"))


def test_a_member_of_the_group_gets_answers_and_gives_no_orders(machine):
    """Alice drops a file and reads its results; she may not cancel, and others may do nothing."""
    name = drop(machine, "alices")

    assert_whole(results(machine, name), name)
    refused = machine.attempt(PROGRAM, "cancel", name, user="alice")
    stranger = machine.attempt(PROGRAM, "status", user="bob")
    assert (refused.returncode, stranger.returncode) == (77, 77)


def test_the_doctor_finds_the_daemon_of_the_unit(machine):
    """From root's shell, and from the settings alone, everything of the unit is found and well."""
    *_, doctor = commands_of("docs/operate.md", "systemd")

    said = machine.type(doctor)

    found = {line.split()[0]: line for line in said.splitlines()}
    assert not found.keys() & {"fail", "skip"}
    assert re.search(r"^ok +socket: .*/run/orchestrator/orchestrator\.sock", said, re.MULTILINE)
    assert re.search(r"^ok +unit: .*/etc/systemd/system/orchestrator\.service", said, re.MULTILINE)
    assert re.search(r"^ok +key: .*credential", said, re.MULTILINE)


def test_the_filter_of_system_calls_is_never_met(machine):
    """A whole job is done although any call outside the filter would kill the daemon.

    All but mbind: a library gives the kernel a hint with it, and heeds no refusal.
    """
    machine.adjust(SystemCallErrorNumber="kill", SystemCallFilter="mbind")
    machine.run("systemctl", "restart", "orchestrator")
    before = restarts(machine)

    name = drop(machine, "filtered")

    assert_whole(results(machine, name), name)
    machine.run("systemctl", "reload", "orchestrator")
    machine.run("systemctl", "stop", "orchestrator")
    assert (restarts(machine), machine.show("Result")) == (before, "success")


def test_a_killed_daemon_is_started_again_and_goes_on(machine):
    """SIGKILL in the middle of a job costs neither an answer nor a second payment."""
    name = drop(machine, "killed")
    under_way(machine)

    machine.run("systemctl", "kill", "-s", "KILL", "orchestrator")

    machine.until(lambda: restarts(machine) == 1, "restarted")
    assert_whole(results(machine, name), name)
    assert machine.books()["repeated"] == []


def test_a_daemon_that_stands_still_is_started_again(machine):
    """When the event loop does not turn any more, the watchdog ends the daemon."""
    machine.adjust(WatchdogSec="3s")
    machine.run("systemctl", "restart", "orchestrator")

    machine.run("systemctl", "kill", "--kill-whom=main", "-s", "STOP", "orchestrator")

    machine.until(lambda: restarts(machine) == 1, "restarted")
    machine.until(lambda: machine.show("ActiveState") == "active", "active again")
    journal = machine.run("journalctl", "-u", "orchestrator", "--no-pager")
    assert "Watchdog timeout" in journal


def test_it_stops_within_seconds_in_the_middle_of_a_job(machine):
    """Stopping needs no SIGKILL within five seconds, and nothing is lost by it."""
    machine.adjust(TimeoutStopSec="5s")
    name = drop(machine, "stopped")
    under_way(machine)

    machine.run("systemctl", "stop", "orchestrator")

    assert (machine.show("ActiveState"), machine.show("Result")) == ("inactive", "success")
    machine.run("systemctl", "start", "orchestrator")
    assert_whole(results(machine, name), name)


def test_a_reload_reads_the_settings_in_the_same_process(machine):
    """`systemctl reload` keeps the process and ends with the daemon serving."""
    pid = machine.show("MainPID")

    machine.run("systemctl", "reload", "orchestrator")

    machine.until(lambda: machine.attempt(PROGRAM, "status").returncode == 0, "served")
    assert (machine.show("MainPID"), machine.show("ActiveState")) == (pid, "active")


def test_wrong_settings_are_not_tried_again(machine):
    """With settings that cannot be used the unit fails at once and stays so."""
    machine.run("cp", "/etc/orchestrator/config.toml", "/root/config.toml")
    machine.write("/etc/orchestrator/config.toml", "[limits]\ntier = 9\n")

    machine.attempt("systemctl", "restart", "orchestrator")

    failed = machine.show("ActiveState"), machine.show("ExecMainStatus"), restarts(machine)
    machine.run("cp", "/root/config.toml", "/etc/orchestrator/config.toml")
    assert failed == ("failed", "78", 0)


def test_the_key_is_seen_nowhere(machine):
    """The key is in no property, log line, argument, variable or file of the daemon's."""
    name = drop(machine, "secretive")
    results(machine, name)
    pid = machine.show("MainPID")
    seen = machine.run("systemctl", "show", "orchestrator")
    seen += machine.run("journalctl", "--no-pager")
    seen += machine.run("cat", f"/proc/{pid}/cmdline", f"/proc/{pid}/environ")

    found = machine.attempt("grep", "-rlaF", KEY, "/var/lib/orchestrator", "/run/orchestrator")

    assert KEY not in seen
    assert found.stdout == ""


def test_it_can_change_nothing_outside_its_folders(machine):
    """With the unit's own walls around it, a program writes to the state and nowhere else."""
    places = ("/etc/x", "/usr/x", "/home/x", "/opt/orchestrator/x", "/var/lib/x", "/root/x")
    machine.adjust(
        Type="oneshot",
        ExecStart=f"\nExecStart=/usr/bin/python3 /opt/probe.py {' '.join(places)}"
        " /var/lib/orchestrator/x",
        Restart="no",
        WatchdogSec="0",
    )
    machine.write("/opt/probe.py", PROBE)

    machine.run("systemctl", "restart", "orchestrator")

    said = machine.run("journalctl", "-u", "orchestrator", "--no-pager", "-o", "cat", "-n", "8")
    assert "/var/lib/orchestrator/x" in said
    assert not set(places) & set(said.splitlines())


def test_another_instance_runs_beside_it(machine):
    """An instance of the template has its own ledger, inbox and socket."""
    set_up, start = commands_of("docs/operate.md", "Several on one machine")
    machine.type(set_up, given=KEY + "\n")
    machine.write("/etc/orchestrator/two.toml", machines.SETTINGS)

    machine.type(start)

    said = machine.run(PROGRAM, "status", "--json", "--config", "/etc/orchestrator/two.toml")
    machine.run("systemctl", "disable", "--now", "orchestrator@two")
    assert json.loads(said)["status"]["service"]["pid"] != machine.status()["service"]["pid"]
    assert machine.show("Result", "orchestrator@two") == "success"


def test_an_upgrade_keeps_what_is_under_way_and_a_downgrade_is_refused(machine):
    """The guide's upgrade, in the middle of a job, migrates; the earlier version then refuses."""
    (upgrade,) = commands_of("docs/operate.md", "Upgrade")
    versions = machine.run("ls", MIGRATIONS).split()
    head = max(each.partition("_")[0] for each in versions if each[0].isdigit())
    later = LATER.format(head=head)
    machine.write(f"{SOURCES}/migrations/versions/9999_later.py", later)
    machine.write(f"{SOURCES}/orchestrator/__init__.py", '__version__ = "9.9.9"\n')
    name = drop(machine, "upgraded")
    under_way(machine)

    machine.type(upgrade)

    assert machine.status()["service"]["version"] == "9.9.9"
    assert_whole(results(machine, name), name)
    assert machine.books()["repeated"] == []
    assert machine.run("ls", "/var/lib/orchestrator/backups")
    machine.run("rm", f"{MIGRATIONS}/9999_later.py")
    machine.attempt("systemctl", "restart", "orchestrator")
    refused = machine.show("ActiveState"), machine.show("ExecMainStatus"), restarts(machine)
    machine.write(f"{MIGRATIONS}/9999_later.py", later)
    assert refused == ("failed", "65", 0)
