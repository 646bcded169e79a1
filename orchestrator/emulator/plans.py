"""Reads a plan: settings and scripted faults, from TOML or JSON.

    seed = 7                       # any of the settings, at the top
    [quotas]                       # the walls of a project
    [unknowns]                     # how to answer what nobody has recorded
    [[fault]]                      # one scripted fault each

Trouble: a key that does not exist, or a value of the wrong type, is a ValueError that names it.
"""

import dataclasses
import tomllib
from pathlib import Path
from typing import Any

import msgspec

from orchestrator.emulator.faults import Fault
from orchestrator.emulator.settings import EmulatorSettings, Model, Quotas, Unknowns


def load(path: Path | None, changes: dict[str, Any]) -> tuple[EmulatorSettings, list[Fault]]:
    """Read a plan (or none) and lay some settings over it."""
    if path is None:
        return EmulatorSettings(**changes), []
    plan = _decoded(path)
    faults = plan.pop("fault", plan.pop("faults", []))
    try:
        settings = convert(plan | changes)
        return settings, msgspec.convert(faults, list[Fault])
    except (msgspec.ValidationError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from None


def convert(given: dict[str, Any]) -> EmulatorSettings:
    """Make settings of plain data; models are added to the known ones."""
    given = dict(given)
    _refuse_unknown(given, EmulatorSettings, "")
    _refuse_unknown(given.get("quotas", {}), Quotas, "quotas.")
    _refuse_unknown(given.get("unknowns", {}), Unknowns, "unknowns.")
    if "models" in given:
        added = msgspec.convert(given["models"], tuple[Model, ...])
        ids = {model.id for model in added}
        known = tuple(model for model in EmulatorSettings().models if model.id not in ids)
        given["models"] = msgspec.to_builtins(known + added)
    return msgspec.convert(given, EmulatorSettings)


def _decoded(path: Path) -> dict[str, Any]:
    text = path.read_bytes()
    try:
        if path.suffix == ".json":
            found = msgspec.json.decode(text)
        else:
            found = tomllib.loads(text.decode())
    except (msgspec.DecodeError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path}: a plan is a table of settings, with faults under 'fault'")  # noqa: TRY004
    return found


def _refuse_unknown(given: Any, shape: type, prefix: str) -> None:
    known = {field.name for field in dataclasses.fields(shape)}
    if not isinstance(given, dict):
        raise ValueError(f"{prefix.rstrip('.')} must be a table")  # noqa: TRY004
    for name in given:
        if name not in known:
            listed = ", ".join(sorted(known))
            raise ValueError(f"unknown setting {prefix}{name}; known are: {listed}")
