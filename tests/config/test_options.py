"""Options of a drop: its file over its profile over the settings."""

import json

import pytest
from hypothesis import given, strategies as st

from orchestrator.config.options import choose
from orchestrator.config.settings import load
from orchestrator.domain.options import BadOptions, from_text, to_text

PROFILES = {
    "default": {"model": "gemini-2.5-flash"},
    "vectors": {"model": "gemini-embedding-001", "kind": "embed", "priority": 5},
}
ENVIRON = {"ORCHESTRATOR_PROFILES": json.dumps(PROFILES)}


@pytest.fixture(scope="module")
def settings():
    """Return settings with two profiles."""
    return load(None, ENVIRON)


def test_the_file_goes_over_the_profile_over_the_settings(settings):
    """What is said nearest to the drop counts."""
    choice = choose(settings, "vectors", "priority = -1\ncompress = 'zst'\n")

    assert (choice.model, choice.kind, choice.priority) == ("gemini-embedding-001", "embed", -1)
    assert choice.extra == {"compress": "zst"}
    assert choice.duplicate_keys == "reject"
    assert choice.generations_max == 5


def test_the_default_profile_is_for_the_inbox_itself(settings):
    """Without file and folder, [profiles.default] applies."""
    choice = choose(settings, "", None)

    assert (choice.profile, choice.model, choice.kind) == (
        "default",
        "gemini-2.5-flash",
        "generate",
    )


def test_the_file_may_name_another_profile(settings):
    """A profile that the file names goes before the folder's."""
    assert choose(settings, "", 'profile = "vectors"').kind == "embed"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('profile = "vector"', "there is no profile 'vector'; did you mean 'vectors'?"),
        ('modle = "x"', "there is no option 'modle'; did you mean 'model'?"),
        ("priority = 9999", "priority must be less than or equal to 1000"),
        ("model = ", "not valid TOML"),
        ('model = "a b"', "must be the id of a model"),
        ('kind = "chat"', "kind must be 'generate' or 'embed'"),
        ("[defaults]\nwhen = 1979-05-27", "defaults.when is a date; write it as a string"),
        ("[defaults.a]\nb = [nan]", "defaults.a.b[0] is nan, which JSON cannot say"),
        ("max_cost = -1", "max_cost must be greater than 0"),
        ("[defaults]\n" + "\n".join(f"f{n} = 1" for n in range(14)), "at most 13 request fields"),
    ],
)
def test_bad_options_are_one_line(settings, text, words):
    """Whatever is wrong with a file is one line that says which key and what would be right."""
    with pytest.raises(BadOptions) as caught:
        choose(settings, "", text)

    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_a_model_it_says_where_to_name_one():
    """No model anywhere is an error that names both places."""
    with pytest.raises(
        BadOptions, match=r"set `model` in the options file or in \[profiles.default\]"
    ):
        choose(load(None, {}), "", None)


def test_only_what_changes_the_answers_is_part_of_the_fingerprint(settings):
    """Priority and output form do not make a drop another one; other defaults do."""
    plain = choose(settings, "", None)

    same = choose(settings, "", "priority = 3\nparts = true\ncompress = 'gz'")
    other = choose(settings, "", "[defaults.generationConfig]\ntemperature = 0.0")

    assert same.canonical == plain.canonical
    assert other.canonical != plain.canonical
    assert json.loads(other.defaults or "") == {"generationConfig": {"temperature": 0.0}}


def test_the_order_of_keys_does_not_matter(settings):
    """Two files that say the same in another order are the same options."""
    one = choose(settings, "", "[defaults]\na = 1\nb = 2")
    two = choose(settings, "", "[defaults]\nb = 2\na = 1")

    assert one.canonical == two.canonical


def test_a_cap_is_kept_exactly(settings):
    """Money is decimal: 0.1 is 100,000 millionths."""
    assert choose(settings, "", "max_cost = '0.1'").cost_max_micros == 100_000
    assert choose(settings, "", None).cost_max_micros is None


def test_options_are_kept_with_their_set(settings):
    """What is written down with a set reads back as the same options."""
    choice = choose(settings, "vectors", "max_cost = '1.5'\n[defaults]\na = 'ü'")

    assert from_text(to_text(choice)) == choice


@given(st.text(max_size=200))
def test_no_text_breaks_the_reader(text):
    """Any text is options or one line that says why not."""
    settings = load(None, ENVIRON)

    said = ""
    try:
        choose(settings, "", text)
    except BadOptions as error:
        said = str(error)

    assert "\n" not in said
