"""Settings come from three places, are checked, and say in one line what is wrong where."""

import json
import os
from datetime import timedelta
from pathlib import Path

import pytest

from orchestrator.config import places
from orchestrator.config.errors import ConfigError
from orchestrator.config.places import unreadable
from orchestrator.config.settings import Settings, load

KEY = "AIzaSyTESTKEY_abcdefghijklmnopqrstuvwxyz0"


def write(folder: Path, text: str) -> Path:
    """Write a settings file."""
    file = folder / "config.toml"
    file.write_text(text, "utf-8")
    return file


def problems(file: Path | None, environ: dict[str, str]) -> tuple[str, ...]:
    """Return the lines that loading ends in."""
    with pytest.raises(ConfigError) as caught:
        load(file, environ)
    return caught.value.problems


def test_the_environment_goes_over_the_file(tmp_path):
    """A variable wins over the file, key by key."""
    file = write(tmp_path, "[limits]\ntier = 1\nmax_active_jobs = 7\n")

    settings = load(file, {"ORCHESTRATOR_LIMITS__TIER": "3"})

    assert (settings.limits.tier, settings.limits.max_active_jobs) == (3, 7)
    assert settings.origin("limits", "tier") == "environment ORCHESTRATOR_LIMITS__TIER"
    assert settings.origin("limits", "max_active_jobs") == f"{file}:3"
    assert settings.origin("limits", "inline_max_bytes") == "default"


def test_lists_and_tables_in_the_environment_are_json():
    """Lists, tables and whole sections are written as JSON in a variable."""
    environ = {
        "ORCHESTRATOR_RETRY__RETRYABLE": "[13, 14]",
        "ORCHESTRATOR_LIMITS__ENQUEUED_TOKENS": '{"gemini-2.5-pro": 5}',
        "ORCHESTRATOR_NOTIFY": '{"command": ["/bin/true"]}',
        "ORCHESTRATOR_PROFILES__DEFAULT__MODEL": "gemini-2.5-flash",
    }

    settings = load(None, environ)

    assert settings.retry.retryable == {13, 14}
    assert settings.limits.enqueued_tokens == {"gemini-2.5-pro": 5}
    assert settings.notify.command == ("/bin/true",)
    assert settings.profiles["default"].model == "gemini-2.5-flash"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("[limits]\nmax_active_jobs = 0\n", 2, "limits.max_active_jobs must be greater than 0"),
        ("[limits]\ntier = 4\n", 2, "limits.tier must be less than or equal to 3"),
        ("[limits]\nteir = 2\n", 2, "[limits] has no key 'teir'; did you mean 'tier'?"),
        ("[limit]\ntier = 2\n", 1, "there is no section 'limit'; did you mean 'limits'?"),
        ('[service]\nlog_format = "xml"\n', 2, "service.log_format must be 'json' or 'console'"),
        ('[profiles.x]\nmodel = "../a"\n', 2, "profiles.x.model must be the id of a model"),
        ('[profiles.x]\nmodle = "a"\n', 2, "[profiles.x] has no key 'modle'; did you mean"),
        ('[pricing."m"]\ninput = 1\n', 1, "pricing.m.as_of is required"),
        ('[gemini]\nbase_url = "http://example.com"\n', 2, "gemini.base_url must be https://"),
        ("[polling]\ninterval_min_seconds = 900\n", 1, "interval_min_seconds must not exceed"),
        ("[retry]\nmax_generations = 16\n", 2, "retry.max_generations must be less than"),
    ],
)
def test_what_is_wrong_in_the_file_is_one_line_with_its_place(tmp_path, text, line, words):
    """Each problem of the file names file, line, key and what would be right."""
    file = write(tmp_path, text)

    (problem,) = problems(file, {})

    assert problem.startswith(f"{file}:{line}: ")
    assert words in problem
    assert "\n" not in problem


def test_what_only_looks_like_a_header_is_none(tmp_path):
    """Lines of a longer string do not confuse the places of what follows."""
    text = '[profiles.x]\ndefaults = { a = """\n[no header]\n[service]\n""" }\nmodle = 1\n'

    (problem,) = problems(write(tmp_path, text), {})

    assert "[profiles.x] has no key 'modle'" in problem


def test_all_problems_are_told_at_once(tmp_path):
    """Nobody has to mend one to see the next."""
    file = write(tmp_path, "[limits]\ntier = 9\nmax_active_jobs = -1\n[intake]\nshape = 3\n")

    assert len(problems(file, {})) == 3


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("ORCHESTRATOR_LIMITS__TEIR", "1", "[limits] has no such key; did you mean 'tier'?"),
        ("ORCHESTRATOR_LIMIT__TIER", "1", "there is no section 'limit'; did you mean 'limits'?"),
        ("ORCHESTRATOR_LIMITS__TIER", "nine", "limits.tier must be a valid integer"),
        ("ORCHESTRATOR_RETRY__RETRYABLE", "13", "must be"),
        ("ORCHESTRATOR_RETRY__RETRYABLE", "x", "must be written as JSON"),
        ("ORCHESTRATOR_PROFILES__A__B__C", "x", "[profiles] has no such key"),
        ("ORCHESTRATOR_GEMINI__API_KEY__X", "x", "[gemini] has no such key"),
    ],
)
def test_what_is_wrong_in_the_environment_names_the_variable(name, value, words):
    """A misspelt or unusable ORCHESTRATOR_ variable is an error that names it."""
    (problem,) = problems(None, {name: value})

    assert problem.startswith(f"environment {name}")
    assert words in problem


def test_foreign_variables_are_nobodys_business():
    """Variables without our prefix, and ORCHESTRATOR_CONFIG, are not settings."""
    load(None, {"LIMITS__TIER": "9", "PATH": "/bin", "_ORCHESTRATOR_COMPLETE": "bash_source"})


def test_a_named_file_must_exist(tmp_path):
    """A missing file is an error, whether --config or ORCHESTRATOR_CONFIG named it."""
    missing = tmp_path / "none.toml"

    assert "No such file" in problems(missing, {})[0]
    assert "No such file" in problems(None, {"ORCHESTRATOR_CONFIG": str(missing)})[0]


def test_broken_toml_names_the_line(tmp_path):
    """A syntax error names the file and the place in it."""
    file = write(tmp_path, "[limits]\ntier = = 1\n")

    (problem,) = problems(file, {})

    assert problem.startswith(f"{file}: not valid TOML: ")
    assert "line 2" in problem


@pytest.mark.parametrize(
    "text",
    [
        f'[gemini]\napi_key = ["{KEY}"]\n',
        f'[gemini]\nkey = "{KEY}"\n',
        f'[gemini]\napi_key = "{KEY}"\napi_key_file = "/x"\n',
        f'[service]\ndatabase = ["postgresql://u:{KEY}@h/d"]\n',
        f'[notify]\nwebhook_secret = {{a = "{KEY}"}}\n',
        f'[notify]\nwebhook_url = "ftp://{KEY}"\n',
        f'gemini = "{KEY}"\n',
    ],
)
def test_no_error_repeats_a_secret(tmp_path, text):
    """However a secret is misplaced, the error does not show it."""
    file = write(tmp_path, text)

    assert KEY not in "\n".join(problems(file, {}))


def test_settings_show_no_secret(tmp_path):
    """repr, str and JSON of the settings mask every secret."""
    text = f'[gemini]\napi_key = "{KEY}"\n[service]\ndatabase = "postgresql://u:{KEY}@h/d"\n'

    settings = load(write(tmp_path, text), {})

    shown = [repr(settings), str(settings), settings.model_dump_json(), repr(settings.paths)]
    assert all(KEY not in text for text in (*shown, json.dumps(settings.masked())))
    assert settings.api_key() == KEY
    assert KEY not in repr(settings.api_key)


def test_settings_never_change():
    """Neither a section nor a key can be set afterwards."""
    settings = load(None, {})

    with pytest.raises(ValueError, match="frozen"):
        settings.limits = settings.limits
    with pytest.raises(ValueError, match="frozen"):
        settings.limits.tier = 2


def test_places_follow_the_state_directory(tmp_path):
    """All folders, the ledger and the socket lie in the state directory unless moved."""
    environ = {
        "ORCHESTRATOR_SERVICE__STATE_DIR": str(tmp_path / "s"),
        "ORCHESTRATOR_SERVICE__OUTBOX": str(tmp_path / "out"),
    }

    paths = load(None, environ).paths

    assert paths.inbox == tmp_path / "s" / "inbox"
    assert paths.outbox == tmp_path / "out"
    assert paths.ledger == tmp_path / "s" / "orchestrator.db"
    assert paths.database_url == f"sqlite+aiosqlite:///{tmp_path}/s/orchestrator.db"
    assert paths.socket == tmp_path / "s" / "orchestrator.sock"


def test_systemd_names_the_places(tmp_path):
    """StateDirectory= and RuntimeDirectory= decide when the settings say nothing."""
    environ = {"STATE_DIRECTORY": f"{tmp_path}/a:{tmp_path}/b", "RUNTIME_DIRECTORY": "/run/o"}

    paths = load(None, environ).paths

    assert paths.state_dir == tmp_path / "a"
    assert paths.socket == Path("/run/o/orchestrator.sock")


@pytest.mark.parametrize(
    ("file", "state"),
    [
        ("/etc/orchestrator/config.toml", "/var/lib/orchestrator"),
        ("/etc/orchestrator/two.toml", "/var/lib/orchestrator-two"),
    ],
)
def test_who_reads_the_settings_of_a_unit_means_its_places(file, state):
    """A command that systemd has not started finds the state of the daemon that it has."""
    assert places.state_dir({"HOME": "/home/alice"}, Path(file)) == Path(state)
    given = {"STATE_DIRECTORY": "/srv/orchestrator"}
    assert places.state_dir(given, Path(file)) == Path("/srv/orchestrator")


def test_other_settings_have_other_places():
    """Settings outside /etc/orchestrator mean no unit's state."""
    found = places.state_dir({"XDG_STATE_HOME": "/home/alice/state"}, Path("/etc/x/two.toml"))

    mine = "/var/lib" if os.geteuid() == 0 else "/home/alice/state"
    assert found == Path(mine) / "orchestrator"


def test_the_socket_of_a_unit_is_below_run_while_its_daemon_is(tmp_path):
    """The folder below /run comes and goes with the daemon; without it the state has the socket."""
    state = Path("/var/lib/orchestrator-two")

    stopped = places.socket_path({}, state, tmp_path)
    (tmp_path / "orchestrator-two").mkdir()

    assert stopped == state / "orchestrator.sock"
    running = tmp_path / "orchestrator-two" / "orchestrator.sock"
    assert places.socket_path({}, state, tmp_path) == running
    assert places.find_socket(None, {"ORCHESTRATOR_SERVICE__STATE_DIR": str(state)}, tmp_path) == (
        running
    )


def test_who_has_no_settings_and_no_daemon_means_the_systems(tmp_path):
    """Without any settings the system's socket is found; with settings never another's."""
    (tmp_path / "orchestrator").mkdir()
    systems = tmp_path / "orchestrator" / "orchestrator.sock"
    systems.touch()
    environ = {"STATE_DIRECTORY": str(tmp_path / "mine")}
    own = write(tmp_path, "")

    assert places.find_socket(None, environ, tmp_path) == systems
    assert places.find_socket(own, environ, tmp_path) == tmp_path / "mine" / "orchestrator.sock"


def test_folders_must_differ(tmp_path):
    """An outbox that is also the inbox would feed itself; it is refused."""
    environ = {f"ORCHESTRATOR_SERVICE__{name}": str(tmp_path) for name in ("INBOX", "OUTBOX")}

    assert "must all differ" in problems(None, environ)[0]


def test_a_socket_path_that_the_kernel_cannot_take_is_refused():
    """107 bytes are the most; the error says how long it is and what to set."""
    fitting, long = "/" + "x" * 106, "/" + "x" * 107

    load(None, {"ORCHESTRATOR_SERVICE__SOCKET": fitting})
    (problem,) = problems(None, {"ORCHESTRATOR_SERVICE__SOCKET": long})

    assert "has 108 bytes" in problem
    assert "set a shorter service.socket" in problem


def test_the_socket_is_found_without_reading_all_settings(tmp_path):
    """A command finds the same socket as the daemon, from the file, the environment or usage."""
    file = write(tmp_path, f'[service]\nstate_dir = "{tmp_path}/s"\n')
    named = write(tmp_path / "..", '[service]\nsocket = "/run/x.sock"\n')

    assert places.find_socket(file, {}) == load(file, {}).paths.socket
    assert places.find_socket(named, {}) == load(named, {}).paths.socket
    environ = {"ORCHESTRATOR_SERVICE__SOCKET": "/run/y.sock"}
    assert places.find_socket(named, environ) == load(named, environ).paths.socket


def test_the_policies_carry_the_settings():
    """What the rooms below get is what the settings say."""
    settings = load(
        None,
        {
            "ORCHESTRATOR_LIMITS__FILE_MAX_BYTES": "1000",
            "ORCHESTRATOR_RETRY__BACKOFF_MIN_SECONDS": "2.5",
            "ORCHESTRATOR_SUBMISSION__IN_DOUBT": "hold",
            "ORCHESTRATOR_POLLING__INTERVAL_MIN_SECONDS": "1",
        },
    )

    assert settings.account_limits().file_max_bytes == 1000
    assert settings.retry_policy().backoff_min == timedelta(seconds=2.5)
    assert settings.submission_policy().hold
    assert settings.submission_policy().window == timedelta(seconds=2700)
    assert settings.poll_policy().interval_min == timedelta(seconds=1)


@pytest.mark.parametrize(
    ("model", "tier", "wall"),
    [
        ("gemini-2.5-flash", 1, 3_000_000),
        ("gemini-2.5-flash-preview-09-2025", 1, 3_000_000),
        ("gemini-2.5-flash-lite", 1, 10_000_000),
        ("gemini-2.5-pro", 2, 500_000_000),
        ("gemini-embedding-001", 1, 2_000_000),
        ("gemini-2.5-flashy", 1, None),
        ("gemma-3", 1, None),
    ],
)
def test_token_walls_follow_the_tier_and_the_family(model, tier, wall):
    """A model has the wall of the longest family that its name begins with."""
    settings = load(None, {"ORCHESTRATOR_LIMITS__TIER": str(tier)})

    assert settings.account_limits(model).enqueued_tokens.get(model) == wall


def test_an_own_token_wall_wins():
    """What the operator sets for a model, or its family, goes before the table."""
    walls = '{"gemini-2.5-flash": 7}'
    settings = load(None, {"ORCHESTRATOR_LIMITS__ENQUEUED_TOKENS": walls})

    limits = settings.account_limits("gemini-2.5-flash", "gemini-2.5-flash-001")

    assert limits.enqueued_tokens["gemini-2.5-flash"] == 7
    assert limits.enqueued_tokens["gemini-2.5-flash-001"] == 7


def test_every_setting_has_a_section():
    """The settings are the documented sections, no more and no fewer."""
    assert set(Settings.model_fields) == {
        "service", "gemini", "limits", "intake", "submission", "polling", "retry", "outbox",
        "retention", "money", "notify", "pricing", "profiles",
    }  # fmt: skip


def test_settings_that_others_may_not_read_say_how_to_read_them():
    """Who keeps the key in the settings closes them to the group: that is said, not guessed."""
    denied = unreadable(Path("/x.toml"), PermissionError(13, "Permission denied"))
    missing = unreadable(Path("/x.toml"), FileNotFoundError(2, "No such file or directory"))

    assert "ask with sudo, or keep the key in gemini.api_key_file" in str(denied)
    assert "name another one with --config" in str(missing)
