"""B: what the service and the network do to creates, to a real daemon over real sockets.

Whole days of waiting are proven in simulated worlds; here are the cases whose point is the wire.
"""

import socket
import threading

import pytest

from tests.acceptance.house import DEFAULTS, House, house, judge, line
from tests.crash.real import KEY, free_port
from tests.judging.drops import Drop

pytestmark = pytest.mark.slow
LOST = {
    "b1-answer-lost": {"do": "lose_answer", "on": "batches.create", "times": 1},
    "b1-half-answer": {"do": "half_answer", "on": "batches.create", "bytes": 20, "times": 1},
    "b2-request-lost": {"do": "lose_request", "on": "batches.create", "times": 1},
    "b13-html": {"do": "html", "on": "batches.create", "status": 200, "times": 1},
    "b13-empty": {"do": "answer", "on": "batches.create", "status": 200, "body": "", "times": 1},
    "b13-name": {
        "do": "answer",
        "on": "batches.create",
        "status": 200,
        "body": '{"name":"batches/../../x"}',
        "times": 1,
    },
    "b19-500": {"do": "answer", "on": "batches.create", "status": 500, "times": 1},
    "b19-502": {"do": "html", "on": "batches.create", "status": 502, "times": 1},
    "b19-504": {"do": "answer", "on": "batches.create", "status": 504, "times": 1},
    "b5-late": {"do": "late", "seconds": 0.3, "times": 1},
}


@pytest.mark.parametrize("name", LOST)
def test_b1_b2_b5_b13_b19_a_create_in_doubt_is_asked_for_and_never_paid_twice(home, name):
    """Whatever hides the outcome of a create: it is found or proven absent, and paid once."""
    home.behave(LOST[name])
    drop = Drop(name, 2)

    drop.put(home.inbox)

    assert judge(home, drop) == []
    questioned = [one for one in home.events("batch.questioned") if "in_doubt" in str(one)]
    assert any(one["set"] == home.set(name)["id"] for one in questioned)


def test_b4_what_was_certainly_not_sent_goes_again_under_its_token(home):
    """Where nobody listens nothing was sent: the same batch goes again, and no doubt arises."""
    before = len(home.events("batch.questioned"))
    with house_without_service(home) as drop:
        home.until(lambda: "refused" in home.log or "connect" in home.log, "a refused connection")

    assert judge(home, drop) == []
    assert len(home.events("batch.questioned")) == before


class house_without_service:  # noqa: N801 - a context, used like a function
    """Points the daemon at a port where nobody listens, drops a set there, and points it back."""

    def __init__(self, home: House) -> None:
        self.home, self.drop = home, Drop("b4-nobody", 2)

    def __enter__(self) -> Drop:
        self.home.stop()
        self.home.configure(DEFAULTS, port=free_port())
        self.home.start()
        self.drop.put(self.home.inbox)
        return self.drop

    def __exit__(self, *_: object) -> None:
        self.home.stop()
        self.home.configure(DEFAULTS)
        self.home.start()


def test_b14_one_bad_request_is_an_error_and_the_others_are_answered(home):
    """A request that the service refuses becomes an error result with the service's words."""
    home.behave()
    bad = b'{"key":"bad","request":{"contents":[{"parts":[{"txet":"x"}]}]}}\n'
    home.drop("b14.jsonl", line("a") + bad + line("c"))

    results = home.delivered("b14")

    assert [("error" in one) for one in results] == [False, True, False]
    assert results[1]["error"]["status"] == "INVALID_ARGUMENT"
    assert results[1]["key"] == "bad"
    assert "txet" in results[1]["error"]["message"]


def test_b15_a_revoked_key_blocks_and_a_restored_one_goes_on(home):
    """A refused key stops all creates, the status says why, and nothing is lost by it."""
    home.behave()
    home.admin("keys:revoke", {"key": KEY})
    drop = Drop("b15", 2)
    drop.put(home.inbox)

    blocked = home.until(
        lambda: next((one for one in home.status()["projects"] if one["blocked"]), None),
        "the project to be blocked",
    )
    home.admin("keys:restore", {"key": KEY})

    assert "key" in blocked["reason"]
    assert blocked["remedy"]
    assert judge(home, drop) == []


def test_b16_an_unknown_model_is_rejected_without_a_create(home):
    """A model that the service does not know is the end of the set, at once and at no cost."""
    home.drop("b16.jsonl", line("a"), 'model = "gemini-0.5-gone"\n')

    refused = home.rejected("b16")

    assert "gemini-0.5-gone" in refused.reason
    assert not [job for job in home.jobs if "gone" in job["model"]]


def test_b20_a_redirect_is_not_followed_and_the_key_goes_nowhere_else(home):
    """A create that is redirected is in doubt; the other host never hears of it."""
    heard = []
    with socket.create_server(("127.0.0.1", 0)) as portal:
        portal.settimeout(0.2)
        listening = threading.Event()

        def listen() -> None:
            while not listening.is_set():
                try:
                    end, _ = portal.accept()
                except TimeoutError:
                    continue
                heard.append(end.recv(65536))
                end.close()

        thread = threading.Thread(target=listen)
        thread.start()
        location = f"http://127.0.0.1:{portal.getsockname()[1]}/login"
        home.behave({"do": "redirect", "on": "*", "location": location, "times": 6})
        drop = Drop("b20", 12, options={"max_requests_per_batch": 4})
        drop.put(home.inbox)
        findings = judge(home, drop)
        listening.set()
        thread.join()

    assert findings == []
    assert heard == []


def test_b34_b35_b36_a_second_daemon_is_told_who_is_there(home):
    """Same state: 75 with the holder's pid, even when its mark was deleted. Same inbox: refused."""
    (home.state / ".orchestrator-holder").unlink(missing_ok=True)
    code, said = home.start_and_end()
    other = home.root / "other"
    other.mkdir()
    home.environment = {
        "ORCHESTRATOR_SERVICE__STATE_DIR": str(other),
        "ORCHESTRATOR_SERVICE__INBOX": str(home.inbox),
        "ORCHESTRATOR_SERVICE__SOCKET": str(home.root / "socket2"),
    }
    code_of_other, said_of_other = home.start_and_end()
    home.environment = {}

    assert (code, code_of_other) == (75, 75)
    assert "another daemon works here" in said
    assert f"{home.inbox}: belongs to the install in {home.state}" in said_of_other
    assert home.status()["service"]["state"] == "running"


def test_b37_a_key_of_another_account_freezes_what_is_in_doubt(tmp_path):
    """With another account's key the first account's jobs are not asked for, nor sent again."""
    with house(tmp_path, faults=({"do": "stuck", "on": "batches.create"},)) as one:
        Drop("b37", 2).put(one.inbox)
        one.until(lambda: one.events("batch.submitted"), "the job")
        one.stop()
        one.set_key("another-key-5Yr0wU8x")
        one.start()
        one.until(lambda: _lists_of_others(one) >= 10, "ten looks with the other key", 60)

        assert len(one.jobs) == 1
        assert not (one.outbox / "b37" / "summary.json").exists()


def _lists_of_others(home: House) -> int:
    """Count the looks at the job list of accounts without a job."""
    calls = [call for call in home.admin("calls")["calls"] if call["endpoint"] == "batches.list"]
    first = home.jobs[0]["project"]
    return sum(call["calls"] for call in calls if call["project"] != first)
