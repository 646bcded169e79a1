"""Whatever is written in a settings file or variable, it is settings or lines that say why not."""

import json

import pytest
from hypothesis import given, settings as effort, strategies as st

from orchestrator.config.errors import ConfigError
from orchestrator.config.settings import Settings, load
from orchestrator.config.sources import section_is_map, section_keys

SECRET = "AIzaSyTESTKEY_abcdefghijklmnopqrstuvwxyz0"
SECTIONS = sorted(Settings.model_fields)
KEYS = sorted({key for field in Settings.model_fields.values() for key in section_keys(field)})
MAPS = [name for name, field in Settings.model_fields.items() if section_is_map(field)]
PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.just(SECRET),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner),
    max_leaves=6,
)


def outcome(file, environ):
    """Load, and return what was said; anything but settings and ConfigError is a failure."""
    problems: tuple[str, ...] = ("fine",)
    try:
        load(file, environ)
    except ConfigError as error:
        problems = error.problems
    assert problems
    assert all(problem.strip() and "\n" not in problem for problem in problems)
    return "\n".join(problems)


@given(st.sampled_from(SECTIONS), VALUES)
def test_any_section_as_json_is_taken_or_explained(section, value):
    """A whole section in a variable, however wrong, ends in one line a problem, and no secret."""
    said = outcome(None, {f"ORCHESTRATOR_{section.upper()}": json.dumps(value)})

    assert SECRET not in said


@given(st.sampled_from(SECTIONS), st.sampled_from(KEYS), VALUES)
def test_any_key_is_taken_or_explained(section, key, value):
    """The same for a single key, whether the section has it or not."""
    text = value if isinstance(value, str) else json.dumps(value)

    said = outcome(None, {f"ORCHESTRATOR_{section}__{key}".upper(): text})

    assert SECRET not in said


@given(st.from_regex(r"ORCHESTRATOR_[A-Z_]{0,20}", fullmatch=True), st.text(max_size=20))
def test_any_name_is_known_or_explained(name, text):
    """A name that is no setting is said to be none."""
    outcome(None, {name: text})


@effort(max_examples=50)
@given(content=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_file_is_taken_or_explained(tmp_path_factory, content):
    """Bytes that are no TOML are said to be none, with the file's name."""
    file = tmp_path_factory.mktemp("any") / "config.toml"
    file.write_bytes(content)

    said = outcome(file, {})

    assert said == "fine" or all(line.startswith(f"{file}") for line in said.splitlines())


@pytest.mark.parametrize(
    "section", [s for s in SECTIONS if section_is_map(Settings.model_fields[s])]
)
def test_names_that_users_choose_may_be_strange(tmp_path, section):
    """A profile or a price may have any name that TOML can quote; errors still find it."""
    file = tmp_path / "config.toml"
    file.write_text(f'[{section}."a.b\\n c"]\nnothing = 1\n')

    assert f"{file}:" in outcome(file, {})
