"""What one drop shall be: its options file over its profile over the settings.

Trouble: options that cannot be used are the user's, so they are `BadOptions` with one line that
says which, where and what would be right; the drop is then rejected with it.
"""

import json
import math
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from pydantic import ValidationError

from orchestrator.config.errors import Where, did_you_mean, explain
from orchestrator.config.sections import DropOptions, SetOptions
from orchestrator.config.settings import Settings
from orchestrator.domain.caps import micros_of
from orchestrator.domain.ids import ProjectName
from orchestrator.domain.options import BadOptions, Choice

DEFAULT_PROFILE = "default"
PROJECT = ProjectName("default")
OPTIONS_BYTES_MAX = 1024 * 1024


def choose(settings: Settings, profile: str, text: str | None) -> Choice:
    """Return the effective options of a drop.

    `profile` is the hot folder that it lay in, "" for the inbox itself; `text` is the TOML of its
    options file, None without one. A profile that the file names goes before the folder's.
    """
    own = parse(text) if text is not None else DropOptions()
    name = own.profile or profile or DEFAULT_PROFILE
    base = _profile(settings, name, asked=own.profile is not None or bool(profile))
    caps_of_settings = {"max_cost": None}  # they follow the settings, so they are not written down
    said = _layer(base) | caps_of_settings | _layer(own)
    model = said.get("model")
    if model is None:
        raise BadOptions(
            f"no model: set `model` in the options file or in [profiles.{name}] of the settings"
        )
    return _choice(settings, name, model, said)


def parse(text: str) -> DropOptions:
    """Read an options file."""
    if len(text) > OPTIONS_BYTES_MAX:
        raise BadOptions(f"options: larger than {OPTIONS_BYTES_MAX} bytes; remove what is not TOML")
    try:
        return DropOptions.model_validate(tomllib.loads(text))
    except ValidationError as error:  # it is a ValueError, too
        known: dict[Where, list[str]] = {(): sorted(DropOptions.model_fields)}
        raise BadOptions("options: " + "; ".join(explain(error, {}, known))) from None
    except RecursionError:
        raise BadOptions("options: nested too deeply; remove some levels") from None
    except ValueError as error:  # not TOML, or an integer of thousands of digits
        raise BadOptions(f"options: not valid TOML: {error}") from None


def _profile(settings: Settings, name: str, *, asked: bool) -> SetOptions:
    known = settings.profiles
    if name in known:
        return known[name]
    if asked and name != DEFAULT_PROFILE:
        raise BadOptions(f"options: there is no profile {name!r}; {did_you_mean(name, known)}")
    return SetOptions()


def _layer(options: SetOptions) -> dict[str, Any]:
    return {name: value for name, value in options if value is not None}


def _choice(settings: Settings, profile: str, model: str, said: Mapping[str, Any]) -> Choice:
    defaults = said.get("defaults") or {}
    _refuse_no_json("defaults", defaults)
    cost: Decimal | None = said["max_cost"]
    intake, outbox = settings.intake, settings.outbox
    written = {
        "compress": said.get("compress", outbox.compress),
        "compact": said.get("compact", outbox.compact),
    }
    return Choice(
        profile=profile,
        project=PROJECT,
        model=model,
        kind=said.get("kind", "generate"),
        priority=said.get("priority", 0),
        requests_max=said.get("max_requests_per_batch"),
        batch_bytes_max=said.get("max_batch_bytes"),
        generations_max=said.get("max_generations", settings.retry.max_generations),
        parts=said.get("parts", outbox.parts),
        duplicate_keys=said.get("duplicate_keys", intake.duplicate_keys),
        duplicate_set=said.get("duplicate_set", intake.duplicate_set),
        idempotency_key=said.get("idempotency_key"),
        defaults=_canonical(defaults) if defaults else None,
        shape=said.get("shape", intake.shape),
        flaws_max_fraction=said.get("flaws_max_fraction", intake.flaws_max_fraction),
        cost_max_micros=None if cost is None else micros_of(cost),
        canonical=_canonical({"defaults": defaults}),
        extra={name: value for name, value in written.items() if value != "none"},
    )


def _refuse_no_json(where: str, value: Any) -> None:
    """TOML can say more than JSON: dates, and numbers that are none."""
    match value:
        case dict():
            for key, inner in value.items():
                _refuse_no_json(f"{where}.{key}", inner)
        case list():
            for number, inner in enumerate(value):
                _refuse_no_json(f"{where}[{number}]", inner)
        case float() if not math.isfinite(value):
            raise BadOptions(f"options: {where} is {value}, which JSON cannot say; use a number")
        case bool() | int() | float() | str():
            return
        case _:
            kind = type(value).__name__
            raise BadOptions(f"options: {where} is a {kind}; write it as a string in quotes")


def _canonical(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
