"""The API key: where it comes from, read again whenever its file is replaced."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import SecretStr

from orchestrator.config.errors import ConfigError
from orchestrator.service.redaction import remember
from orchestrator.service.secret_files import SecretTrouble, read_secret

VARIABLES = ("GEMINI_API_KEY", "GOOGLE_API_KEY")
NO_KEY = (
    "there is no API key; set GEMINI_API_KEY, or name a file as gemini.api_key_file, "
    "or give systemd the credential gemini_api_key"
)


class ApiKey:
    """The present key. Called for each request, so that a replaced file is used at once.

    Trouble: `ConfigError`, one line without the key, as long as there never was a usable key.
    Later on a file that is missing or holds no key is warned of, and the last key stays in use:
    a request that is under way must not lose its key.
    """

    def __init__(self, *, file: Path | None, value: SecretStr | None, origin: str) -> None:
        self._file = file
        self._value = value.get_secret_value() if value else None
        self._stamp: tuple[int, ...] | None = None
        self._trouble: str | None = None
        if self._value:
            remember(self._value)
        self.origin = origin
        self.warnings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"ApiKey({self.origin})"

    def __call__(self) -> str:
        """Return the key."""
        if self._file is not None:
            self._read(self._file)
        if self._value is None:
            raise ConfigError(NO_KEY)
        return self._value

    def _read(self, file: Path) -> None:
        stamp = _stamp(file)
        if stamp is not None and stamp == self._stamp:
            return
        try:
            secret = read_secret(file)
        except SecretTrouble as trouble:
            self._complain(str(trouble))
            return
        remember(secret.value)
        self._value, self._stamp, self._trouble = secret.value, stamp, None
        self.warnings = secret.warnings

    def _complain(self, trouble: str) -> None:
        """Fail if there is no key at all, else say once what is wrong with the new one."""
        if self._value is None:
            raise ConfigError(trouble) from None
        if trouble != self._trouble:
            import structlog  # noqa: PLC0415 - only a daemon gets here

            self._trouble = trouble
            why = f"{trouble}; until then the last key stays in use"
            structlog.get_logger().warning("settings.questioned", why=why)


def _stamp(file: Path) -> tuple[int, ...] | None:
    try:
        facts = file.stat()
    except OSError:
        return None
    return facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns


def variable_in(environ: Mapping[str, str]) -> str | None:
    """Return the name of the variable that holds a key, if one does."""
    return next((name for name in VARIABLES if environ.get(name, "").strip()), None)
