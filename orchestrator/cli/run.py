"""`orchestrator run`: the daemon, in the foreground."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli import failure
from orchestrator.cli.options import config_option, examples, json_option

if TYPE_CHECKING:
    from orchestrator.config.settings import Settings


@click.command(
    epilog=examples(
        "GEMINI_API_KEY=… orchestrator run",
        "orchestrator run --config /etc/orchestrator/config.toml",
    )
)
@config_option()
@json_option("Log as JSON, whatever the settings say.")
def run(config: Path | None, *, as_json: bool) -> int:
    """Watch the inbox, submit what is dropped, write the results: the daemon.

    Stays in the foreground until SIGTERM or Ctrl-C, which ends it within seconds; the next
    start goes on where it stopped. SIGHUP reads the settings and the key again.
    """
    from orchestrator.config.settings import load

    settings = load(config)
    _prepare(settings, as_json=as_json)
    return _run(settings)


def _prepare(settings: "Settings", *, as_json: bool) -> None:
    """Seal the process before it holds the key, and open its log."""
    import structlog

    from orchestrator import log
    from orchestrator.service.hardening import seal

    seal()
    settings.api_key()  # a missing key is said now, not at the first create
    form = "json" if as_json else settings.service.log_format
    log.configure(form, settings.service.log_level, lambda: settings.api_key.seen)
    for warning in settings.warnings():
        structlog.get_logger().warning("settings.questioned", why=warning)


def _run(settings: "Settings") -> int:
    from orchestrator import daemon
    from orchestrator.service.lock import Occupied
    from orchestrator.store.errors import CorruptLedger, LedgerError, NewerSchema

    try:
        return daemon.run(settings)
    except Occupied as error:
        raise failure.Failure(str(error), failure.TRY_AGAIN) from None
    except (NewerSchema, CorruptLedger) as error:
        raise failure.Failure(str(error), failure.DATA) from None
    except LedgerError as error:
        raise failure.Failure(str(error), failure.TRY_AGAIN) from None
    except PermissionError as error:
        advice = "run as its owner, or name other folders in [service]"
        message = f"{error.filename}: {error.strerror}; {advice}"
        raise failure.Failure(message, failure.NO_PERMISSION) from None
