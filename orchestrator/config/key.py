"""The API key: where it comes from, read again whenever its file is replaced."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import SecretStr

from orchestrator.config.errors import ConfigError
from orchestrator.service.secret_files import SecretTrouble, read_secret

VARIABLES = ("GEMINI_API_KEY", "GOOGLE_API_KEY")
KEYS_SEEN_MAX = 16
NO_KEY = (
    "no API key: set GEMINI_API_KEY, or name a file as gemini.api_key_file, "
    "or give systemd the credential gemini_api_key"
)


class ApiKey:
    """The present key. Called for each request, so that a replaced file is used at once.

    Trouble: `ConfigError`, one line without the key, while the file is missing or holds no key.
    """

    def __init__(self, *, file: Path | None, value: SecretStr | None, origin: str) -> None:
        self._file = file
        self._value = value.get_secret_value() if value else None
        self._stamp: tuple[int, ...] | None = None
        self._seen: list[str] = [self._value] if self._value else []
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

    @property
    def seen(self) -> tuple[str, ...]:
        """Every key of this process' life, for the log to hide."""
        return tuple(self._seen)

    def _read(self, file: Path) -> None:
        stamp = _stamp(file)
        if stamp is not None and stamp == self._stamp:
            return
        self._value, self._stamp = None, None
        try:
            secret = read_secret(file)
        except SecretTrouble as trouble:
            raise ConfigError(str(trouble)) from None
        self._value, self._stamp = secret.value, stamp
        self.warnings = secret.warnings
        if secret.value not in self._seen:
            self._seen = [*self._seen, secret.value][-KEYS_SEEN_MAX:]


def _stamp(file: Path) -> tuple[int, ...] | None:
    try:
        facts = file.stat()
    except OSError:
        return None
    return facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns


def variable_in(environ: Mapping[str, str]) -> str | None:
    """Return the name of the variable that holds a key, if one does."""
    return next((name for name in VARIABLES if environ.get(name, "").strip()), None)
