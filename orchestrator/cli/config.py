"""`orchestrator config`: the effective settings, secrets masked."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.options import config_option, examples, json_option

if TYPE_CHECKING:
    from orchestrator.config.settings import Settings

MASK = "**********"


@click.command(
    short_help="Show the effective settings and where each was set.",
    epilog=examples(
        "orchestrator config",
        "orchestrator config --json | jq .settings.limits",
        "ORCHESTRATOR_LIMITS__TIER=2 orchestrator config",
    ),
)
@config_option()
@json_option()
def config(config: Path | None, *, as_json: bool) -> int:
    """Show the effective settings, and where each was set. Secrets are masked.

    Settings come from config.toml, then from the environment (ORCHESTRATOR_SECTION__KEY), then
    from systemd's credentials; what comes later wins.
    """
    from orchestrator.config.settings import load

    settings = load(config)
    shown = effective(settings)
    if as_json:
        origins = {dotted: origin for dotted, origin in _origins(settings, shown) if origin}
        file = str(settings.file) if settings.file else None
        report = {"file": file, "settings": shown, "origins": origins}
        click.echo(json.dumps(report, indent=2, sort_keys=True))
    else:
        click.echo("\n".join(_toml(settings, shown)))
    return 0


def effective(settings: "Settings") -> dict[str, Any]:
    """Return the settings as plain values: places resolved, secrets masked, unset keys None."""
    shown: dict[str, Any] = settings.model_dump(mode="json")
    paths = settings.paths
    for name in ("state_dir", "inbox", "outbox", "rejected", "work", "socket"):
        shown["service"][name] = str(getattr(paths, name))
    if settings.service.database is None:
        shown["service"]["database"] = paths.database_url
    shown["intake"]["workers"] = settings.workers
    shown["gemini"]["api_key"] = None if settings.api_key.origin == "nowhere" else MASK
    return shown


def _origins(settings: "Settings", shown: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for section, table in shown.items():
        for key in table:
            yield f"{section}.{key}", _origin(settings, section, key)


def _origin(settings: "Settings", section: str, key: str) -> str:
    if (section, key) == ("gemini", "api_key"):
        return settings.api_key.origin.replace("nowhere", "")
    return settings.origin(section, key).replace("default", "")


def _toml(settings: "Settings", shown: Mapping[str, Any]) -> Iterator[str]:
    yield f"# {settings.file or 'no settings file'}"
    for section, table in shown.items():
        if section in {"pricing", "profiles"}:
            for name, inner in table.items():
                yield f'\n[{section}."{name}"]'
                yield from _pairs(inner, lambda _: "")
            continue
        yield f"\n[{section}]"
        yield from _pairs(table, lambda key, section=section: _origin(settings, section, key))


def _pairs(table: Mapping[str, Any], origin: Any) -> Iterator[str]:
    for key, value in table.items():
        if value is None:
            yield f"# {key} is not set"
            continue
        said = origin(key)
        yield f"{key} = {_value(value)}" + (f"  # {said}" if said else "")


def _value(value: Any) -> str:
    match value:
        case dict():
            inside = ", ".join(f"{_value(key)} = {_value(inner)}" for key, inner in value.items())
            return "{ " + inside + " }" if inside else "{}"
        case list():
            return "[" + ", ".join(_value(inner) for inner in value) + "]"
        case _:
            return json.dumps(value, ensure_ascii=False)
