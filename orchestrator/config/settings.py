"""All settings in one frozen value, and what the rooms below take from it."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field, PrivateAttr, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from orchestrator.config import key, places, sections
from orchestrator.config.errors import ConfigError, Where, explain
from orchestrator.config.quotas import ENQUEUED_TOKENS, enqueued_tokens
from orchestrator.config.sources import (
    CredentialSource,
    EnvironmentSource,
    FileSource,
    Source,
    merge,
    section_is_map,
    section_keys,
)
from orchestrator.domain.policy import Limits, PollPolicy, RetryPolicy, SubmissionPolicy
from orchestrator.service.redaction import remember

LEDGER_NAME = "orchestrator.db"


@dataclass(frozen=True, slots=True)
class Paths:
    """Where everything is; all absolute. `ledger` is None when the database is not a file here."""

    state_dir: Path
    inbox: Path
    outbox: Path
    rejected: Path
    work: Path
    backups: Path
    socket: Path
    ledger: Path | None
    database_url: str  # may hold a password

    def __repr__(self) -> str:
        return f"Paths({self.state_dir})"


class Settings(BaseSettings):
    """The effective settings. Made by `load`; never changes."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    service: sections.Service = sections.Service()
    gemini: sections.Gemini = sections.Gemini()
    limits: sections.Limits = sections.Limits()
    intake: sections.Intake = sections.Intake()
    submission: sections.Submission = sections.Submission()
    polling: sections.Polling = sections.Polling()
    retry: sections.Retry = sections.Retry()
    outbox: sections.Outbox = sections.Outbox()
    retention: sections.Retention = sections.Retention()
    money: sections.Caps = sections.Caps()
    notify: sections.Notify = sections.Notify()
    pricing: dict[sections.ModelName, sections.Pricing] = Field(default_factory=dict)
    profiles: dict[str, sections.SetOptions] = Field(default_factory=dict)

    _environ: Mapping[str, str] = PrivateAttr(default_factory=dict)
    _origins: Mapping[Where, str] = PrivateAttr(default_factory=dict)
    _file: Path | None = PrivateAttr(default=None)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is the library's
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take only what `load` read: it knows which layer said what."""
        return (init_settings,)

    @property
    def file(self) -> Path | None:
        """The settings file that was read."""
        return self._file

    def origin(self, *where: str) -> str:
        """Say where a value was set: a file and line, a variable, or `default`."""
        return self._origins.get(where, "default")

    @cached_property
    def api_key(self) -> key.ApiKey:
        """The key, whichever place gives it; call it for the present value."""
        given, file = self.gemini.api_key, self.gemini.api_key_file
        if given is None and file is None:
            variable = key.variable_in(self._environ)
            if variable is None:
                return key.ApiKey(file=None, value=None, origin="nowhere")
            value = SecretStr(self._environ[variable].strip())
            return key.ApiKey(file=None, value=value, origin=f"environment {variable}")
        origin = self.origin("gemini", "api_key" if given else "api_key_file")
        return key.ApiKey(file=file, value=given, origin=origin)

    @cached_property
    def paths(self) -> Paths:
        """Every place, resolved."""
        service = self.service
        state = (service.state_dir or places.state_dir(self._environ, self._file)).absolute()
        ledger = None if service.database else state / LEDGER_NAME
        url = service.database.get_secret_value() if service.database else ""
        if url.startswith("sqlite"):
            ledger = Path("/" + url.partition(":///")[2].partition("?")[0].lstrip("/"))
        return Paths(
            state_dir=state,
            inbox=service.inbox or state / "inbox",
            outbox=service.outbox or state / "outbox",
            rejected=service.rejected or state / "rejected",
            work=service.work or state / "work",
            backups=state / "backups",
            socket=service.socket or places.socket_path(self._environ, state),
            ledger=ledger,
            database_url=url or f"sqlite+aiosqlite:///{state / LEDGER_NAME}",
        )

    @property
    def workers(self) -> int:
        """How many processes read and write lines."""
        return self.intake.workers or len(os.sched_getaffinity(0))

    def account_limits(self, *models: str) -> Limits:
        """Build the limits of the account; token walls for the families we know and `models`."""
        limits = self.limits
        names = {*ENQUEUED_TOKENS, *limits.enqueued_tokens, *models}
        walls = {name: enqueued_tokens(name, limits.tier, limits.enqueued_tokens) for name in names}
        return Limits(
            inline_max_bytes=limits.inline_max_bytes,
            file_max_bytes=limits.file_max_bytes,
            requests_per_batch_max=limits.max_requests_per_batch,
            active_jobs_max=limits.max_active_jobs,
            storage_bytes_max=limits.storage_max_bytes,
            requests_per_minute=limits.requests_per_minute,
            enqueued_tokens={name: wall for name, wall in walls.items() if wall is not None},
            batch_bytes_min=limits.min_batch_bytes,
            count_tokens=limits.count_tokens,
        )

    def retry_policy(self) -> RetryPolicy:
        """Build how often and how soon."""
        return RetryPolicy(
            generations_max=self.retry.max_generations,
            backoff_min=timedelta(seconds=self.retry.backoff_min_seconds),
            backoff_max=timedelta(seconds=self.retry.backoff_max_seconds),
            retryable=self.retry.retryable,
        )

    def submission_policy(self) -> SubmissionPolicy:
        """Build the bounds of a create."""
        return SubmissionPolicy(
            create_timeout=timedelta(seconds=self.submission.create_timeout_seconds),
            late_create=timedelta(seconds=self.submission.late_create_seconds),
            list_lag=timedelta(seconds=self.submission.list_lag_seconds),
            hold=self.submission.in_doubt == "hold",
            tell_priority=self.submission.tell_priority,
        )

    def poll_policy(self) -> PollPolicy:
        """Build how often the job list is read."""
        return PollPolicy(
            interval_min=timedelta(seconds=self.polling.interval_min_seconds),
            interval_max=timedelta(seconds=self.polling.interval_max_seconds),
            stuck_after=timedelta(hours=self.polling.stuck_after_hours),
            resubmit_stuck=self.polling.stuck == "resubmit",
        )

    def warnings(self) -> tuple[str, ...]:
        """Say what works and should still be mended; one line each."""
        in_environment = self.gemini.api_key_file is None and "environment" in self.api_key.origin
        found = [] if "credential" in self.api_key.origin else list(self.api_key.warnings)
        if in_environment:
            found.append(
                f"the API key comes from the {self.api_key.origin}, which stays readable in "
                "/proc; prefer the credential gemini_api_key or gemini.api_key_file"
            )
        if self.gemini.api_key and self._file and self._file.stat().st_mode & 0o077:
            found.append(f"{self._file}: holds the API key and others may read it; chmod 600 it")
        return tuple(found)

    def masked(self) -> dict[str, Any]:
        """Return the effective settings for showing, secrets masked."""
        shown: dict[str, Any] = self.model_dump(mode="json", by_alias=True)
        return shown


def load(file: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Read and check all settings; `file` None means the usual places.

    Raises ConfigError with one line per problem.
    """
    environ = os.environ if environ is None else environ
    file = file or places.config_file(environ)
    layers: list[Source] = [
        FileSource(Settings, file),
        EnvironmentSource(Settings, environ),
        CredentialSource(Settings, environ),
    ]
    merged: dict[str, Any] = {}
    origins: dict[Where, str] = {}
    for layer in layers:
        values = layer()
        _one_key_only(merged, values)
        merged = merge(merged, values)
        origins |= layer.origins
    try:
        settings = Settings(**merged)
    except ValidationError as error:
        raise ConfigError(*explain(error, origins, known_keys())) from None
    settings._environ, settings._origins, settings._file = dict(environ), origins, file  # noqa: SLF001
    _check_places(settings)
    remember(*_secrets(settings))
    return settings


def _secrets(settings: Settings) -> Iterator[str]:
    """Yield what nobody may read in a log, beside the API key (which notes itself)."""
    notify, database = settings.notify, settings.service.database
    for secret in (notify.webhook_secret, notify.webhook_url):
        if secret is not None:
            yield secret.get_secret_value()
    if database is not None:
        yield urlsplit(database.get_secret_value()).password or ""


def _one_key_only(below: dict[str, Any], above: Mapping[str, Any]) -> None:
    """Let a layer that gives the key, in either form, replace both forms below it."""
    forms = {"api_key", "api_key_file"}
    if forms & set(_table(above, "gemini")):
        for form in forms & set(_table(below, "gemini")):
            del below["gemini"][form]


def _table(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = values.get(name)
    return table if isinstance(table, dict) else {}


def known_keys() -> dict[Where, list[str]]:
    """Return which keys each table has; `*` stands for a name that the user chooses."""
    known: dict[Where, list[str]] = {(): sorted(Settings.model_fields)}
    for name, field in Settings.model_fields.items():
        where = (name, "*") if section_is_map(field) else (name,)
        known[where] = sorted(section_keys(field))
    return known


def _check_places(settings: Settings) -> None:
    paths = settings.paths
    folders = [paths.inbox, paths.outbox, paths.rejected, paths.work]
    if len({*folders, paths.state_dir}) <= len(folders):
        raise ConfigError("service: inbox, outbox, rejected, work and state_dir must all differ")
    length = len(os.fsencode(paths.socket))
    if length > places.SOCKET_PATH_BYTES_MAX:
        problem = f"{paths.socket} has {length} bytes, a socket's path at most"
        limit = places.SOCKET_PATH_BYTES_MAX
        raise ConfigError(f"service.socket: {problem} {limit}; set a shorter service.socket")
