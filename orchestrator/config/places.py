"""Where things are when nobody says so. Imports nothing heavy: every command begins here.

Under systemd the unit names state and socket (StateDirectory=, RuntimeDirectory=). Whoever reads
the settings of that daemon, /etc/orchestrator/config.toml or NAME.toml, means the same places, so
that the commands find them without a word: /var/lib/orchestrator or orchestrator-NAME, and /run.
Else the state is /var/lib/orchestrator for root, ~/.local/state/orchestrator for users.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from orchestrator.config.errors import ConfigError

SOCKET_NAME = "orchestrator.sock"
SOCKET_PATH_BYTES_MAX = 107  # sun_path has 108 bytes, the last one is NUL
SYSTEM_CONFIG = Path("/etc/orchestrator/config.toml")
SYSTEM_STATE = Path("/var/lib/orchestrator")
RUN = Path("/run")


def config_file(environ: Mapping[str, str]) -> Path | None:
    """Return the settings file used without --config: the first that exists, or None.

    In this order: $ORCHESTRATOR_CONFIG (which must exist), the user's, the system's.
    """
    if named := environ.get("ORCHESTRATOR_CONFIG"):
        return Path(named)
    mine = _home(environ, "XDG_CONFIG_HOME", ".config")
    files = [mine / "orchestrator" / "config.toml"] if mine else []
    return next((file for file in (*files, SYSTEM_CONFIG) if _exists(file)), None)


def state_dir(environ: Mapping[str, str], file: Path | None) -> Path:
    """Return the state directory used when the settings, which are in `file`, name none."""
    if given := environ.get("STATE_DIRECTORY"):
        return Path(given.split(":")[0])
    if file and file.absolute().parent == SYSTEM_CONFIG.parent:
        return SYSTEM_STATE.with_name(_instance(file))
    if os.geteuid() == 0:
        return SYSTEM_STATE
    home = _home(environ, "XDG_STATE_HOME", ".local/state")
    return (home or Path.cwd()) / "orchestrator"


def _instance(file: Path) -> str:
    """Return what the units call the folders of the daemon with these settings."""
    name = SYSTEM_STATE.name
    return name if file.name == SYSTEM_CONFIG.name else f"{name}-{file.stem}"


def socket_path(environ: Mapping[str, str], state: Path, run: Path = RUN) -> Path:
    """Return the status socket used when the settings name none.

    A unit's daemon has it in a folder below /run, which is there only while that daemon is.
    """
    if given := environ.get("RUNTIME_DIRECTORY"):
        return Path(given.split(":")[0]) / SOCKET_NAME
    if state.parent == SYSTEM_STATE.parent and (run / state.name).is_dir():
        return run / state.name / SOCKET_NAME
    return state / SOCKET_NAME


def find_socket(config: Path | None, environ: Mapping[str, str], run: Path = RUN) -> Path:
    """Find the status socket for a command that only talks to a running daemon.

    Reads no more of the settings than it needs; the daemon itself has checked them. Who has no
    settings and no daemon of his own means the system's.
    """
    file = config or config_file(environ)
    service = _service_table(file)
    named = environ.get("ORCHESTRATOR_SERVICE__SOCKET") or service.get("socket")
    if named:
        return Path(named).expanduser()
    state = environ.get("ORCHESTRATOR_SERVICE__STATE_DIR") or service.get("state_dir")
    if state:
        return socket_path(environ, Path(state).expanduser(), run)
    usual = socket_path(environ, state_dir(environ, file), run)
    systems = run / SYSTEM_STATE.name / SOCKET_NAME
    return systems if not _exists(usual) and _exists(systems) and file is None else usual


def _service_table(file: Path | None) -> dict[str, str]:
    import tomllib  # noqa: PLC0415 - most commands run without a file

    if file is None:
        return {}
    try:
        table = tomllib.loads(file.read_text("utf-8")).get("service", {})
    except OSError as error:
        raise unreadable(file, error) from None
    except ValueError as error:
        raise ConfigError(f"{file}: not valid TOML: {error}") from None
    if not isinstance(table, dict):
        return {}
    return {key: value for key, value in table.items() if isinstance(value, str)}


def unreadable(file: Path, error: OSError) -> ConfigError:
    """Say that a settings file cannot be read, and what to do about it."""
    advice = "name another one with --config, or start from config.example.toml"
    if isinstance(error, PermissionError):
        advice = "ask with sudo, or keep the key in gemini.api_key_file and let this file be read"
    return ConfigError(f"{file}: cannot be read: {error.strerror}; {advice}")


def _home(environ: Mapping[str, str], variable: str, below_home: str) -> Path | None:
    given = environ.get(variable, "")
    if given.startswith("/"):  # the XDG rules: a relative path is ignored
        return Path(given)
    home = environ.get("HOME")
    return Path(home) / below_home if home else None


def _exists(path: Path) -> bool:
    try:
        path.lstat()
    except OSError:
        return False
    return True
