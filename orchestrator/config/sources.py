"""Where settings come from: the file, then the environment, then the credentials directory.

Trouble: whatever cannot be read or is not known by name is a `ConfigError` that names the place.
"""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from orchestrator.config.errors import ConfigError, Where, did_you_mean
from orchestrator.config.places import unreadable

PREFIX = "ORCHESTRATOR_"
OTHER_NAMES = frozenset({"ORCHESTRATOR_CONFIG"})  # read by the command line
CONFIG_BYTES_MAX = 4 * 1024 * 1024
CREDENTIAL = "gemini_api_key"

_HEADER = re.compile(r"^\s*\[[^\[\]]+\]\s*(#.*)?$")
_KEY = re.compile(r"^\s*(?:([A-Za-z0-9_-]+)|\"([^\"]+)\"|'([^']+)')\s*[.=]")


class Source(PydanticBaseSettingsSource):
    """A layer of settings; `origins` says where each of its values was written."""

    def __init__(self, settings: type[BaseSettings]) -> None:
        super().__init__(settings)
        self.origins: dict[Where, str] = {}

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return one section of this layer."""
        return self().get(field_name), field_name, False


class FileSource(Source):
    """config.toml."""

    def __init__(self, settings: type[BaseSettings], file: Path | None) -> None:
        super().__init__(settings)
        self._file = file

    def __call__(self) -> dict[str, Any]:
        """Read the file; nothing when there is none."""
        if self._file is None:
            return {}
        try:
            raw = self._file.read_bytes()
        except OSError as error:
            raise unreadable(self._file, error) from None
        if len(raw) > CONFIG_BYTES_MAX:
            raise ConfigError(f"{self._file}: {len(raw)} bytes are no settings file")
        try:
            text = raw.decode("utf-8-sig")
            values = tomllib.loads(text)
        except ValueError as error:
            raise ConfigError(f"{self._file}: not valid TOML: {error}; mend it there") from None
        except RecursionError:
            raise ConfigError(f"{self._file}: nested too deeply; mend it there") from None
        self.origins = {(): f"{self._file}"}
        self.origins |= {
            where: f"{self._file}:{number}" for where, number in _line_numbers(text.splitlines())
        }
        return values


def _line_numbers(lines: list[str]) -> Iterator[tuple[Where, int]]:
    table: Where = ()
    for number, line in enumerate(lines, 1):
        if _HEADER.match(line):
            table = tuple(_header_steps(line))
            yield table, number
        elif key := _KEY.match(line):
            yield (*table, key[1] or key[2] or key[3]), number


def _header_steps(line: str) -> Iterator[str]:
    """Return the steps of a table's header, as TOML itself reads them."""
    try:
        table = tomllib.loads(line)
    except tomllib.TOMLDecodeError:  # it only looks like a header, inside a longer string
        return
    while table:
        ((step, table),) = table.items()
        yield step


class EnvironmentSource(Source):
    """`ORCHESTRATOR_SECTION__KEY`; lists and tables are written as JSON."""

    def __init__(self, settings: type[BaseSettings], environ: Mapping[str, str]) -> None:
        super().__init__(settings)
        self._environ = environ

    def __call__(self) -> dict[str, Any]:
        """Read every variable that is ours; a name that we do not know is an error."""
        values: dict[str, Any] = {}
        problems: list[str] = []
        for name in sorted(self._environ):
            if not name.startswith(PREFIX) or name in OTHER_NAMES:
                continue
            try:
                where, value = self._one(name, self._environ[name])
            except ConfigError as error:
                problems += error.problems
                continue
            self.origins[where] = f"environment {name}"
            values = merge(values, _nested(where, value))
        if problems:
            raise ConfigError(*problems)
        return values

    def _one(self, name: str, text: str) -> tuple[Where, Any]:
        steps = tuple(name.removeprefix(PREFIX).lower().split("__"))
        field = self._field(name, steps)
        annotation = field.annotation
        if self.field_is_complex(field) or _is_table(annotation):
            try:
                return steps, json.loads(text)
            except ValueError:
                raise ConfigError(f"environment {name} must be written as JSON") from None
        return steps, text

    def _field(self, name: str, steps: tuple[str, ...]) -> FieldInfo:
        fields = self.settings_cls.model_fields
        section, *rest = steps
        if section not in fields:
            hint = did_you_mean(section, fields)
            raise ConfigError(f"environment {name}: there is no section {section!r}; {hint}")
        field = fields[section]
        keys = section_keys(field)
        if section_is_map(field):
            rest = rest[1:]  # the name of a profile or a model
        if not rest:
            return field
        if len(rest) > 1 or rest[0] not in keys:
            hint = did_you_mean("__".join(rest), keys)
            raise ConfigError(f"environment {name}: [{section}] has no such key; {hint}")
        return keys[rest[0]]


def _is_table(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def section_is_map(field: FieldInfo) -> bool:
    """Tell whether a section's keys are names the user chooses: profiles and prices."""
    return not _is_table(field.annotation)


def section_keys(field: FieldInfo) -> dict[str, FieldInfo]:
    """Return the keys that a section (or each member of a map of sections) may have."""
    annotation: Any = field.annotation
    model = annotation if _is_table(annotation) else annotation.__args__[1]
    fields: dict[str, FieldInfo] = model.model_fields
    return fields


class CredentialSource(Source):
    """The API key where systemd puts it: a file in $CREDENTIALS_DIRECTORY."""

    def __init__(self, settings: type[BaseSettings], environ: Mapping[str, str]) -> None:
        super().__init__(settings)
        self._folder = environ.get("CREDENTIALS_DIRECTORY")

    def __call__(self) -> dict[str, Any]:
        """Name the credential as the key's file, if it was given."""
        if not self._folder:
            return {}
        file = Path(self._folder) / CREDENTIAL
        if not _present(file):
            return {}
        self.origins[("gemini", "api_key_file")] = f"credential {CREDENTIAL}"
        return {"gemini": {"api_key_file": str(file)}}


def _present(file: Path) -> bool:
    try:
        file.lstat()
    except FileNotFoundError:
        return False
    return True


def merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one layer over another, table by table."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = (
            merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
        )
    return merged


def _nested(where: Where, value: Any) -> dict[str, Any]:
    for step in reversed(where):
        value = {str(step): value}
    nested: dict[str, Any] = value
    return nested
