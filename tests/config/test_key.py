"""The API key: where it may come from, and what a file must be like."""

import os

import pytest
from structlog.testing import capture_logs

from orchestrator.config.errors import ConfigError
from orchestrator.config.settings import load
from orchestrator.service.redaction import remembered

KEY = "AIzaSyTESTKEY_abcdefghijklmnopqrstuvwxyz0"


@pytest.fixture
def credentials(tmp_path):
    """Return a credentials directory with a key in it, as systemd makes it."""
    folder = tmp_path / "credentials"
    folder.mkdir()
    file = folder / "gemini_api_key"
    file.write_text(KEY + "\n")
    file.chmod(0o400)
    return folder


def trouble(file, **environ):
    """Return the line in which asking for the key ends."""
    settings = load(None, {"ORCHESTRATOR_GEMINI__API_KEY_FILE": str(file), **environ})
    with pytest.raises(ConfigError) as caught:
        settings.api_key()
    (line,) = caught.value.problems
    return line


def test_the_credential_comes_before_everything(credentials, tmp_path):
    """The credential wins over the settings file and the environment."""
    config = tmp_path / "config.toml"
    config.write_text('[gemini]\napi_key = "of-the-file"\n')
    environ = {"CREDENTIALS_DIRECTORY": str(credentials), "GEMINI_API_KEY": "of-the-environment"}

    settings = load(config, environ)

    assert settings.api_key() == KEY
    assert settings.api_key.origin == "credential gemini_api_key"


def test_the_environment_is_the_last_resort():
    """GEMINI_API_KEY, then GOOGLE_API_KEY, if nothing else gives a key; with a warning."""
    assert load(None, {"GEMINI_API_KEY": "one", "GOOGLE_API_KEY": "two"}).api_key() == "one"
    assert load(None, {"GEMINI_API_KEY": " ", "GOOGLE_API_KEY": "two\n"}).api_key() == "two"
    (warning,) = load(None, {"GOOGLE_API_KEY": "two"}).warnings()
    assert "GOOGLE_API_KEY" in warning
    assert "prefer the credential" in warning


def test_without_a_key_the_error_says_where_to_put_one():
    """No key is a plain error that names all three places."""
    with pytest.raises(ConfigError, match=r"GEMINI_API_KEY.*api_key_file.*gemini_api_key"):
        load(None, {}).api_key()


def test_a_trailing_newline_is_no_part_of_the_key(tmp_path):
    """Editors end files with a newline; headers may not."""
    file = tmp_path / "key"
    file.write_bytes(KEY.encode() + b"\r\n")
    file.chmod(0o600)

    assert load(None, {"ORCHESTRATOR_GEMINI__API_KEY_FILE": str(file)}).api_key() == KEY


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"\x00\x01\x02" * 9, "printable ASCII"),
        (KEY.encode() + b"\nsecond line", "printable ASCII"),
        ("schlüssel".encode(), "printable ASCII"),
        (b"x" * 1_000_000, "larger than 4096 bytes"),
    ],
)
def test_a_file_that_holds_no_key_is_refused_without_showing_it(tmp_path, content, words):
    """The error names the file and the remedy, and nothing of the content."""
    file = tmp_path / "key"
    file.write_bytes(content)
    file.chmod(0o600)

    line = trouble(file)

    assert line.startswith(f"{file}: ")
    assert words in line
    assert "xxx" not in line
    assert "AIza" not in line


def test_a_missing_file_is_said(tmp_path):
    """No such file is an error, even if the environment would have a key."""
    assert "no such file" in trouble(tmp_path / "none", GEMINI_API_KEY="other")


def test_neither_a_folder_nor_a_pipe_is_a_key(tmp_path):
    """Only regular files are read, and nothing waits for a writer."""
    os.mkfifo(tmp_path / "pipe", 0o600)

    assert "not a regular file" in trouble(tmp_path / "pipe")
    assert "not a regular file" in trouble(tmp_path)


def test_a_file_that_anybody_may_write_is_refused(tmp_path):
    """Whoever can write the key decides who pays."""
    file = tmp_path / "key"
    file.write_text(KEY)
    file.chmod(0o666)

    assert "anybody may write it" in trouble(file)


def test_a_file_that_others_may_read_is_used_with_a_warning(tmp_path):
    """Mode 0644 works, and is said."""
    file = tmp_path / "key"
    file.write_text(KEY)
    file.chmod(0o644)
    settings = load(None, {"ORCHESTRATOR_GEMINI__API_KEY_FILE": str(file)})

    assert settings.api_key() == KEY
    (warning,) = settings.warnings()
    assert "others may read the key (mode 0644); chmod 600 it" in warning


def test_own_links_are_followed(tmp_path):
    """Container platforms mount secrets as links of root's; those work."""
    (tmp_path / "..data").mkdir()
    file = tmp_path / "..data" / "key"
    file.write_text(KEY)
    file.chmod(0o600)
    link = tmp_path / "key"
    link.symlink_to("..data/key")

    assert load(None, {"ORCHESTRATOR_GEMINI__API_KEY_FILE": str(link)}).api_key() == KEY


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's link")
def test_links_of_others_are_refused(tmp_path):
    """A link that another user controls could point anywhere tomorrow."""
    file, link = tmp_path / "key", tmp_path / "link"
    file.write_text(KEY)
    file.chmod(0o600)
    link.symlink_to(file)
    os.lchown(link, 12345, 12345)

    assert "another user controls" in trouble(link)


def test_a_replaced_file_is_read_again(tmp_path):
    """A new key is used from the next call on, and both keys are hidden in the log."""
    file = tmp_path / "key"
    file.write_text("first-key")
    file.chmod(0o600)
    key = load(None, {"ORCHESTRATOR_GEMINI__API_KEY_FILE": str(file)}).api_key
    assert key() == "first-key"

    new = tmp_path / "new"
    new.write_text("second-key")
    new.chmod(0o600)
    new.replace(file)

    assert key() == "second-key"
    assert {"first-key", "second-key"} <= set(remembered())


def test_a_file_that_goes_bad_is_warned_of_and_the_last_key_stays(tmp_path):
    """A request under way keeps its key; the log says once what is wrong; a new file heals."""
    file = tmp_path / "key"
    file.write_text(KEY)
    file.chmod(0o600)
    key = load(None, {"ORCHESTRATOR_GEMINI__API_KEY_FILE": str(file)}).api_key
    key()

    file.unlink()
    with capture_logs() as said:
        during = [key() for _ in range(3)]
        file.write_text("")
        file.chmod(0o600)
        during.append(key())
    file.write_text("another-key")

    assert set(during) == {KEY}
    assert [line["event"] for line in said] == ["settings.questioned"] * 2
    assert "no such file" in said[0]["why"]
    assert "is empty" in said[1]["why"]
    assert key() == "another-key"
