"""`config`: the effective settings, their origins, and no secret."""

import json
import tomllib

from orchestrator.config.settings import load

KEY = "AIzaSyTESTKEY_abcdefghijklmnopqrstuvwxyz0"


def test_what_is_shown_is_toml_that_says_the_same(call, home):
    """The output can be read back and gives the same settings."""
    shown = call("config").out
    file = home / "again.toml"
    file.write_text(shown)

    again = load(file, {})

    assert again.limits == load(None).limits
    assert again.paths.inbox == home / "s" / "inbox"


def test_secrets_are_masked(call, home, monkeypatch):
    """Neither form shows a key, a password or a webhook's secret."""
    file = home / "config.toml"
    file.write_text(
        f'[service]\ndatabase = "postgresql://me:{KEY}@host/db"\n'
        f'[notify]\nwebhook_url = "https://host/{KEY}"\nwebhook_secret = "{KEY}"\n'
    )
    monkeypatch.setenv("GEMINI_API_KEY", KEY)

    text = call("config", "--config", file).out
    as_json = call("config", "--config", file, "--json").out

    assert KEY not in text + as_json
    assert 'api_key = "**********"  # environment GEMINI_API_KEY' in text
    assert json.loads(as_json)["settings"]["gemini"]["api_key"] == "**********"


def test_each_value_says_where_it_was_set(call, home, monkeypatch):
    """File and line, or the variable, stand beside what is not a default."""
    file = home / "config.toml"
    file.write_text("[limits]\ntier = 2\n")
    monkeypatch.setenv("ORCHESTRATOR_RETRY__MAX_GENERATIONS", "7")

    text = call("config", "--config", file).out

    assert f"tier = 2  # {file}:2" in text
    assert "max_generations = 7  # environment ORCHESTRATOR_RETRY__MAX_GENERATIONS" in text
    assert "max_active_jobs = 100\n" in text


def test_json_has_file_settings_and_origins(call, home):
    """For scripts: everything, as values."""
    report = json.loads(call("config", "--json").out)

    assert report["file"] is None
    assert report["settings"]["service"]["inbox"] == str(home / "s" / "inbox")
    assert report["origins"] == {"service.state_dir": "environment ORCHESTRATOR_SERVICE__STATE_DIR"}
    assert tomllib is not None
