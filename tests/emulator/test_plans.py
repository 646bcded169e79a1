"""Plans are read whole or refused with a name; the command and its documentation agree with
them.
"""

import dataclasses
import re
import tomllib
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from orchestrator.cli.emulator import emulator
from orchestrator.cli.failure import Failure
from orchestrator.emulator import EmulatorSettings, Fault, Quotas, Unknowns
from orchestrator.emulator.faults import ACTIONS
from orchestrator.emulator.plans import load

GUIDE = (Path(__file__).parents[2] / "docs" / "emulator.md").read_text()


def _plan(folder: Path, text: str, name: str = "plan.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_plan_has_settings_and_faults(tmp_path: Path) -> None:
    """Settings, quotas, unknowns, keys, models and faults are read; options go before them."""
    text = """
    seed = 7
    pending_seconds = [1, 2]
    [quotas]
    tier = 3
    [unknowns]
    line_model = "refused"
    [api_keys]
    a = "shop"
    [[models]]
    id = "mine"
    methods = ["batchGenerateContent"]
    [[fault]]
    do = "quota"
    nth = [1, 2]
    """

    settings, faults = load(_plan(tmp_path, text), {"speed": 9.0})

    assert (settings.seed, settings.speed) == (7, 9.0)
    assert settings.pending_seconds == (1.0, 2.0)
    assert settings.quotas == Quotas(tier=3)
    assert settings.unknowns == Unknowns(line_model="refused")
    assert settings.api_keys == {"a": "shop"}
    assert settings.model("mine") is not None
    assert settings.model("gemini-2.5-flash") is not None
    assert faults == [Fault(do="quota", nth=[1, 2])]


def test_json_plans_are_the_same(tmp_path: Path) -> None:
    """A JSON plan has the same names."""
    path = _plan(tmp_path, '{"seed": 7, "faults": [{"do": "quota"}]}', "plan.json")

    settings, faults = load(path, {})

    assert settings.seed == 7
    assert faults == [Fault(do="quota")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sped = 1", "unknown setting sped; known are: "),
        ("[quotas]\njobs = 1", "unknown setting quotas.jobs"),
        ("[unknowns]\nx = 1", "unknown setting unknowns.x"),
        ("speed = 0", "speed must be above 0"),
        ('speed = "x"', "Expected `float`"),
        ("pending_seconds = [3, 1]", "pending_seconds must be 0 or more"),
        ('[[fault]]\ndo = "dance"', "unknown fault 'dance'"),
        ('[[fault]]\ndo = "quota"\nwhen = 1', "unknown field `when`"),
        ('[[fault]]\ndo = "quota"\nprobability = 2', "probability must be from 0 to 1"),
        ("speed =", "Invalid value"),
        ("quotas = 1", "quotas must be a table"),
        ("upload_granularity = 0", "at least 1 byte"),
        ("skip_running = 2", "probability"),
    ],
)
def test_a_wrong_plan_is_refused_with_its_file_and_name(
    tmp_path: Path, text: str, said: str
) -> None:
    """The message names the file, what is wrong, and often what is known."""
    with pytest.raises(ValueError, match=re.escape(str(tmp_path))) as refused:
        load(_plan(tmp_path, text), {})

    assert said in str(refused.value)


def test_the_command_refuses_a_wrong_plan_in_one_line(tmp_path: Path) -> None:
    """The command ends with the code for wrong settings."""
    path = _plan(tmp_path, "sped = 1")

    done = CliRunner().invoke(emulator, ["--plan", str(path)])

    assert isinstance(done.exception, Failure)
    assert done.exception.code == 78
    assert "\n" not in str(done.exception)


def test_help_has_every_client_and_an_example() -> None:
    """The page says how to point each client at it."""
    page = CliRunner().invoke(emulator, ["--help"]).output

    for word in ("--plan", "--speed", "--state-dir", "genai.Client", "GoogleGenAI", "curl"):
        assert word in page


def test_the_guide_names_every_fault_switch_and_setting() -> None:
    """docs/emulator.md has every action, every switch with its default, and every setting."""
    named = set(re.findall(r"`([a-z_0-9]+)`", GUIDE))
    code = "\n".join(re.findall(r"```toml\n(.*?)```", GUIDE, re.DOTALL))

    assert set(ACTIONS) <= named
    assert {field.name for field in dataclasses.fields(Unknowns)} <= named
    inner = {"models", "unknowns", "quotas", "api_keys", "hash_in_thread"}
    for field in dataclasses.fields(EmulatorSettings):
        assert field.name in inner or re.search(rf"^{field.name} = ", code, re.MULTILINE)


def test_the_guide_s_plans_are_plans(tmp_path: Path) -> None:
    """Every TOML example of the guide loads."""
    for text in re.findall(r"```toml\n(.*?)```", GUIDE, re.DOTALL):
        settings, faults = load(_plan(tmp_path, text), {})

        assert faults
        assert settings.seed in {0, 7}
        given = tomllib.loads(text)
        for name in given.keys() & {field.name for field in dataclasses.fields(settings)}:
            if name not in {"models", "unknowns", "seed", "api_keys"}:
                shown = msgspec.to_builtins(getattr(settings, name))
                default = msgspec.to_builtins(getattr(EmulatorSettings(), name))
                assert shown == default or name == "quotas"
