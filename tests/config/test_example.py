"""config.example.toml is the settings, key by key."""

import re
import tomllib
from itertools import pairwise
from pathlib import Path

from orchestrator.config.sections import SetOptions
from orchestrator.config.settings import Settings, load
from orchestrator.config.sources import section_keys

EXAMPLE = Path(__file__).parents[2] / "config.example.toml"
OPTIONAL = re.compile(r"^#(?=[a-z_\"])(?=[^#]* = )", re.MULTILINE)


def keys(tables):
    """Return section.key for every key of every fixed section."""
    return {
        f"{section}.{key}"
        for section, table in tables.items()
        for key in table
        if section not in {"profiles", "pricing"}
    }


def test_the_example_changes_nothing(tmp_path):
    """The example as it is gives exactly the defaults."""
    environ = {"HOME": str(tmp_path)}
    example = load(EXAMPLE, environ)

    defaults = load(None, environ)

    without_profiles = {"profiles"}  # the example names `default`, and says nothing in it
    assert example.model_dump(exclude=without_profiles) == defaults.model_dump(
        exclude=without_profiles
    )
    assert example.profiles == {"default": SetOptions()}


def test_the_example_names_every_key():
    """With its optional keys uncommented, the example has every key there is, and no other."""
    text = OPTIONAL.sub("", EXAMPLE.read_text("utf-8"))

    tables = tomllib.loads(text)

    known = {
        f"{section}.{key}"
        for section, field in Settings.model_fields.items()
        if section not in {"profiles", "pricing"}
        for key in section_keys(field)
    }
    assert keys(tables) == known
    assert set(tables) == set(Settings.model_fields)
    assert set(tables["profiles"]["default"]) == set(SetOptions.model_fields)


def test_every_optional_key_of_the_example_is_valid(tmp_path):
    """Uncommenting an optional key gives settings that load (one form of the key at a time)."""
    text = OPTIONAL.sub("", EXAMPLE.read_text("utf-8")).replace('api_key = "…"\n', "")
    file = tmp_path / "config.toml"
    file.write_text(text, "utf-8")

    settings = load(file, {})

    assert str(settings.money.max_cost_per_set) == "50.00"
    assert str(settings.pricing["gemini-2.5-flash"].input) == "0.15"


def test_every_key_says_why():
    """Each key stands below a comment that says what it is for."""
    lines = EXAMPLE.read_text("utf-8").splitlines()

    for above, line in pairwise(lines):
        if re.match(r"^#?[a-z_]+ = ", line):
            assert above.startswith("#"), line
