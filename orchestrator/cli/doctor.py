"""`orchestrator doctor`: what is not well, and what to do about it."""

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING

import click

from orchestrator.cli import failure, screen
from orchestrator.cli.findings import Finding, fail, ok, skip, warn
from orchestrator.cli.options import config_option, examples, json_option
from orchestrator.service.printable import printable

if TYPE_CHECKING:
    from orchestrator.config.settings import Settings

COLOURS = {"ok": "green", "warn": "yellow", "fail": "bold red", "skip": "dim"}


@click.command(
    short_help="Find what is not well, with its remedy.",
    epilog=examples(
        "orchestrator doctor",
        "orchestrator doctor --offline",
        "sudo -u orchestrator orchestrator doctor --json",
    ),
)
@click.option("--offline", is_flag=True, help="Leave out what asks the service.")
@config_option()
@json_option()
def doctor(config: Path | None, *, offline: bool, as_json: bool) -> int:
    """Look at settings, folders and whose they are, space, limits, socket, ledger, unit, clock, key
    and models.

    Whatever is not well is told with its remedy. Run it as the daemon's user, to see what the
    daemon would see. Only reads, and creates nothing at the service.

    The exit code is 0 when nothing fails (warnings may remain), 1 when something does.
    """
    found: list[Finding] = []
    show = _draw if screen.is_terminal() else _print
    for each in _findings(config, offline=offline):
        found.append(each)
        if not as_json:
            show(each)
    if as_json:
        screen.say_json([asdict(each) for each in found])
    return failure.SOME_FAILED if any(f.verdict == "fail" for f in found) else failure.OK


def line(found: Finding) -> str:
    """Write a finding on one line."""
    remedy = f"; {found.remedy}" if found.remedy else ""
    return printable(f"{found.verdict:<4}  {found.check + ':':<27} {found.said}{remedy}")


def _print(found: Finding) -> None:
    screen.say(line(found))
    screen.flush()


def _draw(found: Finding) -> None:
    from rich.text import Text

    text = Text(line(found))
    text.stylize(COLOURS[found.verdict], 0, 4)
    screen.console().print(text)


def _findings(config: Path | None, *, offline: bool) -> Iterator[Finding]:
    from orchestrator.config.errors import ConfigError
    from orchestrator.config.settings import load

    try:
        settings = load(config)
    except ConfigError as error:
        for problem in error.problems:
            yield fail("settings", problem, "nothing else can be looked at before that is mended")
        return
    yield from _settings(settings)
    yield from _notify(settings)
    yield from _machine(settings)
    if offline:
        yield skip("service", "left out (--offline)")
        return
    from orchestrator.cli.doctor_service import service_checks

    yield from service_checks(settings)


def _settings(settings: "Settings") -> Iterator[Finding]:
    file = settings.file or "no settings file; the environment, else defaults"
    yield Finding("settings", "ok", str(file))
    if not any(profile.model for profile in settings.profiles.values()):
        said = "no profile names a model, so every drop needs its own options file"
        yield warn("settings", said, 'set model = "…" in [profiles.default]')
    caps = settings.money
    if caps.max_cost_per_day or caps.max_cost_per_set:
        for name, profile in settings.profiles.items():
            if profile.model and profile.model not in settings.pricing:
                said = f"there is a cap on cost and no price for {profile.model} (profiles.{name})"
                yield warn("settings", said, f'its sets are held; add [pricing."{profile.model}"]')


def _notify(settings: "Settings") -> Iterator[Finding]:
    """Look whether the command that is told of things could be started."""
    command = settings.notify.command
    if not command:
        return
    if which(command[0]) is None:
        said = f"{command[0]} is not there, or may not be executed by this user"
        yield fail("notify", said, "correct notify.command, or the file's mode")
    else:
        yield ok("notify", f"{command[0]} can be started")


def _machine(settings: "Settings") -> Iterator[Finding]:
    from orchestrator.cli import doctor_folders as folders, doctor_machine as machine

    paths = settings.paths
    yield from folders.folders(paths)
    yield from folders.machine(paths)
    yield from folders.space(settings)
    yield from machine.limits()
    yield from machine.status_socket(settings)
    yield from machine.ledger(paths)
    yield from machine.daemon(settings)
    yield from machine.unit()
