"""`orchestrator run`: the daemon, in the foreground."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli import failure
from orchestrator.cli.options import config_option, examples, json_option

if TYPE_CHECKING:
    from orchestrator.config.settings import Settings


@click.command(
    short_help="The daemon: watch the inbox, submit, write results.",
    epilog=examples(
        "GEMINI_API_KEY=… orchestrator run",
        "orchestrator run --config /etc/orchestrator/config.toml",
    ),
)
@config_option()
@json_option("Log as JSON, whatever the settings say.")
def run(config: Path | None, *, as_json: bool) -> int:
    """Watch the inbox, submit what is dropped, write the results: the daemon.

    Stays in the foreground until SIGTERM or Ctrl-C, which ends it within seconds; the next
    start goes on where it stopped. SIGHUP reads the settings and the key again.
    """
    import_structlog()
    from orchestrator.config.settings import load

    settings = load(config)
    _prepare(settings, as_json=as_json)
    return _run(settings)


def import_structlog() -> None:
    """Import it without rich, in which it would colour tracebacks: 6 MB, held for weeks."""
    if "rich" in sys.modules:
        return
    sys.modules["rich"] = None  # type: ignore[assignment]  # as if it were not installed
    try:
        import structlog  # noqa: F401
    finally:
        del sys.modules["rich"]


def _prepare(settings: "Settings", *, as_json: bool) -> None:
    """Seal the process before it holds the key, and open its log."""
    import structlog

    from orchestrator import log
    from orchestrator.service.hardening import seal
    from orchestrator.service.redaction import remembered

    seal()
    settings.api_key()  # a missing key is said now, not at the first create
    form = "json" if as_json else settings.service.log_format
    log.configure(form, settings.service.log_level, remembered)
    for warning in settings.warnings():
        structlog.get_logger().warning("settings.questioned", why=warning)


def _run(settings: "Settings") -> int:
    """Run until a signal comes; say in one line why it could not start or go on."""
    from orchestrator import daemon
    from orchestrator.config.errors import ConfigError

    try:
        return daemon.run(settings)
    except (ConfigError, KeyboardInterrupt):
        raise
    except Exception as error:  # noqa: BLE001 - told by kind below, and logged if it is none
        cause = _cause(error)
        known = _known(cause)
        if known is not None:
            raise known from None
        _log_crash(error)
        name = type(cause).__name__
        message = f"ended by an unexpected {name}; its log says where, please report it"
        raise failure.Failure(message, failure.SOFTWARE) from None


def _cause(error: BaseException) -> BaseException:
    """Return what happened first, out of the group that tasks raise."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _known(error: BaseException) -> failure.Failure | None:
    """Return how the command ends for what an operator can mend, None for a bug."""
    from orchestrator.service.lock import Occupied
    from orchestrator.status.listening import SocketRefused
    from orchestrator.store.errors import CorruptLedger, LedgerError, NewerSchema

    match error:
        case NewerSchema() | CorruptLedger():
            return failure.Failure(str(error), failure.DATA)
        case Occupied() | LedgerError():
            return failure.Failure(str(error), failure.TRY_AGAIN)
        case SocketRefused():
            return failure.Failure(str(error), failure.CANNOT_CREATE)
        case PermissionError():
            advice = "run as its owner, or name other folders in [service]"
            message = f"{error.filename}: {error.strerror}; {advice}"
            return failure.Failure(message, failure.NO_PERMISSION)
        case OSError():
            where = f"{error.filename}: " if error.filename else ""
            message = f"{where}{error.strerror}; see to the disk, then start again"
            return failure.Failure(message, failure.TRY_AGAIN)
        case _:
            return None


def _log_crash(error: BaseException) -> None:
    """Write the traceback into the log, where secrets are taken out of it."""
    import structlog

    structlog.get_logger().error("daemon.crashed", reason=str(error), exc_info=error)
