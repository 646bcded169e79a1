"""The documents name nothing that is not there, and leave nothing out that a user can meet."""

import os
import re
from pathlib import Path

import pytest

from orchestrator.cli import failure
from orchestrator.cli.program import COMMANDS
from orchestrator.config.settings import Settings
from orchestrator.config.sources import section_keys
from orchestrator.daemon.conditions import REMEDIES
from orchestrator.domain.batches import LapseReason
from orchestrator.domain.caps import HeldBy
from orchestrator.domain.failures import RPC_NAMES
from tests.docs import settings_page
from tests.docs.pages import CODE, PAGES, ROOT, anchors, codes, named, prose
from tests.docs.raised import is_among, messages, telling

SOURCE = ROOT / "orchestrator"
# What ends in a message for a person, and which argument that is.
FOR_PEOPLE = {
    "Answered": 1, "BadOptions": 0, "Cloned": 0, "ConfigError": 0, "CorruptLedger": 0,
    "Declined": 1, "Failure": 0, "ForeignInbox": 0, "ForeignLedger": 0, "LedgerError": 0,
    "Impossible": 0, "LedgerBusy": 0, "LedgerDenied": 0, "LedgerFull": 0, "LockedOut": 0,
    "LostLedger": 0, "NewerSchema": 0, "NotAllowed": 0, "NotPossible": 0,
    "Occupied": 0, "SecretTrouble": 0, "SocketRefused": 0, "Unreachable": 0,
    "Unreadable": 0,
}  # fmt: skip
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
METRIC = re.compile(r"\borchestrator_[a-z_]+\b")
COMMAND = re.compile(r"^(?:sudo )?orchestrator ([a-z][a-z-]+)", re.MULTILINE)
FORBIDDEN = re.compile(
    r"\bissue #?\d|\bissues/\d+\b(?<!github)|\bClaude\b|\bChatGPT\b|\bhelper agent|\bsub-?agent"
    r"|\bthis session\b|\bshared/|\bdesign\.md|\bstyle\.md|\bprotocol\.md|\breliability\.md"
    r"|\bTODO\b|\bFIXME\b|/work/",
    re.IGNORECASE,
)
NAMED_BY_USERS = {"profiles", "pricing"}
PUBLIC_ISSUE = re.compile(r"https://github\.com/\S+?/issues/\d+")


def said(*parts: str) -> str:
    """Return all source text of some rooms."""
    files = [file for part in parts for file in sorted((SOURCE / part).glob("**/*.py"))]
    assert files
    return "\n".join(file.read_text("utf-8") for file in files)


@pytest.fixture
def errors():
    """Return the catalogue of errors."""
    return (ROOT / "docs" / "errors.md").read_text("utf-8")


def sections() -> dict[str, set[str]]:
    """Return the keys of each section of the settings."""
    return {name: set(section_keys(field)) for name, field in Settings.model_fields.items()}


def lacking(text: str, wanted: set[str]) -> list[str]:
    """Return what the text does not have in backticks."""
    assert wanted
    return sorted(each for each in wanted if f"`{each}" not in text)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page):
    """A link between documents leads to a file that is there, and to a heading that it has."""
    broken = []
    for link in LINK.findall(prose(page)):
        path, _, anchor = link.partition("#")
        if "://" in path:
            continue
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)

    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_the_product_speaks_only_of_itself(page):
    """A document names nothing of the workshop in which it was written."""
    text = PUBLIC_ISSUE.sub("", page.read_text("utf-8"))

    assert FORBIDDEN.findall(text) == []


def test_every_document_is_in_the_index():
    """Each document can be reached from the index."""
    index = (ROOT / "docs" / "index.md").read_text("utf-8")
    targets = {(ROOT / "docs" / link).resolve() for link in LINK.findall(index)}

    missing = [named(page) for page in PAGES if page.name != "index.md" and page not in targets]

    assert [name for name in missing if name.startswith("docs/")] == []


def test_the_page_of_settings_is_that_of_the_example():
    """docs/settings.md is what `python -m tests.docs.settings_page` writes."""
    example = settings_page.EXAMPLE.read_text("utf-8")

    assert settings_page.PAGE.read_text("utf-8") == settings_page.page(example)


def test_settings_named_exist():
    """A setting named as `section.key` in a document is one."""
    known = sections()
    name = re.compile(rf"(?<![\w./])({'|'.join(known)})\.([a-z_]+)\b(?![./(])")
    files = {"py", "service", "sysusers", "tmpfiles", "toml", "md", "db", "jsonl", "sock"}

    unknown = [
        f"{named(page)}: {section}.{key}"
        for page, code in codes()
        for section, key in name.findall(code)
        if section not in NAMED_BY_USERS and key not in known[section] and key not in files
    ]

    assert unknown == []


def test_metrics_named_exist():
    """A metric named in a document is among those of the status socket's page."""
    listed = set(METRIC.findall((ROOT / "docs" / "status-api.md").read_text("utf-8")))

    unknown = [
        name
        for page in PAGES
        for name in METRIC.findall(page.read_text("utf-8"))
        if name not in listed
    ]

    assert unknown == []


def test_commands_named_exist():
    """A command named in a document is one."""
    unknown = [
        f"{named(page)}: {command}"
        for page, code in codes()
        for command in COMMAND.findall(code)
        if command not in COMMANDS
    ]

    assert unknown == []


def test_variables_named_exist():
    """A variable ORCHESTRATOR_SECTION__KEY in a document sets something."""
    known = sections()
    variable = re.compile(r"\bORCHESTRATOR_([A-Z]+)__([A-Z_]+)")

    unknown = [
        f"{named(page)}: {section}.{key}"
        for page, code in codes()
        for section, key in (map(str.lower, found) for found in variable.findall(code))
        if section not in {"section", *NAMED_BY_USERS} and key not in known.get(section, ())
    ]

    assert unknown == []


def test_every_exit_code_is_explained(errors):
    """Each exit code of a command has a line in the catalogue."""
    known = vars(failure).items()
    numbers = {value for name, value in known if name.isupper() and isinstance(value, int)}

    assert [number for number in sorted(numbers) if f"\n| {number} |" not in errors] == []
    assert os.EX_CONFIG in numbers


def test_every_end_of_a_batch_is_explained(errors):
    """Each reason for which a batch lapses is in the catalogue."""
    assert lacking(errors, {reason.value for reason in LapseReason}) == []


def test_every_flaw_is_explained(errors):
    """Each code of a flaw is in the catalogue."""
    raised = re.findall(
        r'(?:_Refused|_flaw|Flaw)\(\s*(?:line, )?"([A-Z][A-Z0-9_]+)"', said("domain", "spool")
    )
    added = re.findall(
        r'^\s+"([A-Z]+_[A-Z]+)",$', (SOURCE / "spool/index.py").read_text(), re.MULTILINE
    )

    assert "DUPLICATE_KEY" in added
    assert lacking(errors, {*raised, *added}) == []


def test_every_reason_to_hold_is_explained(errors):
    """Each prefix of a reason for which a set is held is in the catalogue and in the guide."""
    files = [file for file in SOURCE.glob("**/*.py") if ".hold(" in file.read_text("utf-8")]
    text = "\n".join(file.read_text("utf-8") for file in files)
    prefixes = set(re.findall(r"""f?["']([a-z]+(?:_[a-z]+)*): """, text)) - {"held", "blocked"}
    prefixes |= set(HeldBy)
    guide = (ROOT / "docs" / "operate.md").read_text("utf-8")

    assert {"vanished", "crashed", "source_changed", "max_cost_per_day"} <= prefixes
    assert lacking(errors, prefixes) == []
    assert lacking(guide, prefixes) == []


def test_every_condition_is_explained(errors):
    """Each kind of condition, and each stage that can be one, is in the catalogue."""
    reported = set(re.findall(r'\.report\(\s*"(\w+)"', said("stages", "daemon")))
    assembly = (SOURCE / "daemon" / "assembly.py").read_text("utf-8")
    wired = assembly.partition("def _stages(")[2].partition("\n    def ")[0]
    stages = set(re.findall(r'\(\s*"(\w+)",', wired))

    assert {"intake", "submit", "notify"} <= stages
    assert lacking(errors, {*REMEDIES, *reported, *stages}) == []


def test_every_incident_is_explained(errors):
    """Each kind of incident is in the catalogue."""
    assert lacking(errors, set(re.findall(r'\.book\(\s*"(\w+)"', said("stages", "daemon")))) == []


def test_every_block_is_explained(errors):
    """Each reason for which an account is blocked is in the catalogue."""
    text = Path(SOURCE / "gemini" / "errors.py").read_text("utf-8")

    assert lacking(errors, set(re.findall(r'Blocked\(_said\("([^"]+)"', text))) == []


def test_every_code_of_an_error_is_explained(errors):
    """Each google.rpc code that a result can have is in the catalogue."""
    assert lacking(errors, set(RPC_NAMES[1:])) == []


def test_every_message_for_people_is_explained(errors):
    """Whatever ends a command, a start, a set or an order is in the catalogue."""
    fragments = telling(CODE.findall(errors))

    raised = [
        (where, said)
        for where, said in messages(SOURCE, FOR_PEOPLE)
        if not where.startswith(("emulator/", "gemini/", "domain/failures"))
    ]

    assert [each for each in raised if not is_among(each[1], fragments)] == []
    assert len(raised) > 80
