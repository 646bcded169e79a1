"""`orchestrator emulator`: the service itself, on this machine, at no cost."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli import failure
from orchestrator.cli.options import examples, json_option

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.emulator import Emulator, EmulatorSettings, Fault
    from orchestrator.emulator.call_log import CallRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The command line, read."""

    host: str
    port: int
    unix: Path | None
    state_dir: Path | None
    plan: Path | None
    speed: float | None
    seed: int | None
    quiet: bool
    report: bool
    as_json: bool


@click.command(
    short_help="The Gemini Batch and Files API on this machine: no model, no bill.",
    epilog=examples(
        "orchestrator emulator                            serve on http://127.0.0.1:8080",
        "orchestrator emulator --speed 60                 jobs take seconds, not minutes",
        "orchestrator emulator --plan bad-day.toml        misbehave as the plan says",
        "orchestrator emulator --state-dir /tmp/e --seed 7  a run that can be repeated",
        "orchestrator emulator --json --port 0            the first line tells a script where",
        "orchestrator emulator 2>calls.log                then: awk '$2 >= 400' calls.log",
        "",
        "Then point any client at it, with any API key:",
        "  Python      genai.Client(api_key='k', http_options={'base_url': 'http://127.0.0.1:8080'})",
        "  JavaScript  new GoogleGenAI({apiKey: 'k', httpOptions: {baseUrl: 'http://127.0.0.1:8080'}})",
        "  curl        curl -H 'x-goog-api-key: k' http://127.0.0.1:8080/v1beta/batches",
        "  books       curl http://127.0.0.1:8080/__emulator__/ledger",
    ),
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0 picks one."
)
@click.option("--unix", type=click.Path(path_type=Path), help="Listen on this socket instead.")
@click.option(
    "--state-dir",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Keep files, jobs and books here; the next start goes on. Without it, all is forgotten.",
)
@click.option(
    "--plan",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="Settings and scripted faults, TOML or JSON (see docs/emulator.md).",
)
@click.option("--speed", type=float, metavar="N", help="Jobs age N times as fast. [default: 1]")
@click.option("--seed", type=int, metavar="N", help="The seed of all chance. [default: 0]")
@click.option("-q", "--quiet", is_flag=True, help="No log of calls.")
@json_option("The first line, the log and the books as JSON, a line each.")
@click.option("--report/--no-report", default=True, help="Print the books at the end (default).")
def emulator(**given: Any) -> int:
    """Emulate the Gemini Batch and Files API: same calls, same answers, no model, no bill.

    Official clients work unchanged but for the base URL. Its answers say that they are the
    emulator's and are always the same for the same request. It enforces the service's limits,
    expires what the service expires, misbehaves on request, and keeps books of what a client would
    have paid for.

    Standard output says where it listens and, at the end (Ctrl-C), what the books say; standard
    error has one line for each call: time, status, milliseconds, project, endpoint, method, path
    and faults, with `-` for nothing.
    """
    import asyncio

    options = Options(**given)
    settings, faults = _planned(options)
    try:
        return asyncio.run(_serve(settings, faults, options))
    except (OSError, RuntimeError) as error:
        raise failure.Failure(_explained(error, options), failure.UNAVAILABLE) from None


def _explained(error: Exception, options: Options) -> str:
    import errno

    if getattr(error, "errno", None) == errno.EADDRINUSE:
        where = f"{options.host}:{options.port}"
        return f"{where} is in use; stop what listens there, or choose another --port (0: any free)"
    return str(error)


def _planned(options: Options) -> tuple["EmulatorSettings", list["Fault"]]:
    from orchestrator.emulator import plans

    changes: dict[str, Any] = {"hash_in_thread": True}
    if options.speed is not None:
        changes["speed"] = options.speed
    if options.seed is not None:
        changes["seed"] = options.seed
    try:
        return plans.load(options.plan, changes)
    except ValueError as error:
        raise failure.Failure(str(error), failure.CONFIG) from None


async def _serve(settings: "EmulatorSettings", faults: list["Fault"], options: Options) -> int:
    import tempfile
    from datetime import UTC, datetime

    from orchestrator.emulator import Emulator

    with tempfile.TemporaryDirectory(prefix="orchestrator-emulator-") as scratch:
        provider = Emulator(
            settings,
            clock=lambda: datetime.now(UTC),  # noqa: TID251 - a command is where the clock is
            state_dir=options.state_dir or Path(scratch),
        )
        provider.faults.load(faults)
        try:
            await _listen(provider, options)
            if options.report:
                await provider.settle()
                _print_report(provider, as_json=options.as_json)
        finally:
            provider.close()
    return failure.OK


async def _listen(provider: "Emulator", options: Options) -> None:
    import asyncio
    import signal

    from orchestrator.emulator import serving
    from orchestrator.emulator.allocator import keep_freed_memory

    keep_freed_memory()
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    log = None if options.quiet else _log(options)
    host, port, unix = options.host, options.port, options.unix
    async with serving.listening(provider, host, port, unix, log=log, deliver=True) as where:
        _say_where(provider, where, options)
        await stopped.wait()


def _log(options: Options) -> "Callable[[CallRecord], None]":
    from orchestrator.emulator.call_log import COLUMNS, columns, json_line

    written = json_line if options.as_json else columns
    if not options.as_json:
        click.echo(f"#{' '.join(COLUMNS)}", err=True)
    return lambda record: click.echo(written(record), err=True)


def _say_where(provider: "Emulator", where: str, options: Options) -> None:
    if not options.as_json:
        click.echo(f"Gemini Batch API emulator on {where} (any API key; Ctrl-C ends it)")
        return
    import json
    import os

    shown = {
        "base_url": "http://localhost" if options.unix else where,
        "socket": str(options.unix) if options.unix else None,
        "api_key": next(iter(provider.settings.api_keys), "any"),
        "pid": os.getpid(),
        "state_dir": str(provider.state_dir),
    }
    click.echo(json.dumps(shown))


def _print_report(provider: "Emulator", *, as_json: bool) -> None:
    import json

    from orchestrator.emulator.report import readable

    report = provider.meter.report()
    click.echo(json.dumps(report) if as_json else readable(report))
