"""`orchestrator check`: what would become of a file, without sending anything."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli import failure, screen
from orchestrator.cli.formats import count, money, short, size
from orchestrator.cli.options import config_option, examples, json_option
from orchestrator.service.printable import printable, shown_name

if TYPE_CHECKING:
    from orchestrator.config.settings import Settings
    from orchestrator.domain.options import Choice
    from orchestrator.ports import IndexReport, PartPlan

FLAWS_SHOWN_MAX = 10


@dataclass(frozen=True, slots=True)
class Verdict:
    """What would become of one file. Costs are US dollars as text, None without a price."""

    file: str
    accepted: bool
    reason: str | None
    model: str
    kind: str
    requests: int
    flawed: int
    duplicates: int
    warnings: int
    batches: int
    mode: str | None
    bytes: int
    tokens: int
    cost_input: str | None
    cost_estimate: str | None
    flaws: list[dict[str, Any]]


@click.command(
    short_help="Look a file over: flaws, batches, tokens and cost. Nothing is sent.",
    epilog=examples(
        "orchestrator check prompts.jsonl",
        "orchestrator check texts.jsonl.zst --profile embeddings",
        "orchestrator check prompts.jsonl --json | jq '.[].flaws'",
    ),
)
@click.argument(
    "files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path)
)
@click.option("--profile", default="", metavar="PROFILE", help="Follow [profiles.PROFILE].")
@click.option("--model", metavar="MODEL", help="The model, as in gemini-2.5-flash.")
@click.option("--kind", type=click.Choice(["generate", "embed"]), help="What is asked for.")
@click.option("--options", type=click.Path(path_type=Path), metavar="TOML", help="Not NAME.toml.")
@config_option()
@json_option()
def check(files: tuple[Path, ...], config: Path | None, **given: Any) -> int:
    """Read files as the daemon would and say what would become of them. Nothing is sent.

    Shows flaws, batches, bytes, estimated tokens and cost. Needs neither daemon nor key. Options
    are read from NAME.toml beside NAME.jsonl, as in the inbox.

    The exit code is 0 when everything would be sent, 1 when some lines are flawed, 65 when the
    file would be rejected.
    """
    from orchestrator.config.settings import load

    settings = load(config)
    verdicts = [_verdict(file, settings, given) for file in files]
    if given["as_json"]:
        screen.say_json([asdict(verdict) for verdict in verdicts])
    else:
        screen.say("\n\n".join("\n".join(lines(verdict)) for verdict in verdicts))
    return max(_exit_code(verdict) for verdict in verdicts)


def _exit_code(verdict: Verdict) -> int:
    if not verdict.accepted:
        return failure.DATA
    return failure.SOME_FAILED if verdict.flawed else failure.OK


def lines(verdict: Verdict) -> Iterator[str]:
    """Say in words what would become of a file."""
    said = "would be sent" if verdict.accepted else f"would be rejected: {verdict.reason}"
    yield f"{shown_name(verdict.file)}: {said}"
    wrong = [
        f"{count(number)} {what}"
        for number, what in (
            (verdict.flawed, "flawed"),
            (verdict.duplicates, "with a key that came before"),
            (verdict.warnings, "with a questionable field"),
        )
        if number
    ]
    yield f"  requests  {count(verdict.requests)}" + (f" ({', '.join(wrong)})" if wrong else "")
    if verdict.model:
        yield f"  model     {verdict.model}, {verdict.kind}"
    if verdict.batches:
        yield f"  batches   {verdict.batches} ({verdict.mode}), {size(verdict.bytes)} as sent"
        yield f"  tokens    about {short(verdict.tokens)} to send"
        yield f"  cost      {_cost(verdict)}"
    for flaw in verdict.flaws[:FLAWS_SHOWN_MAX]:
        column = f", column {flaw['column']}" if flaw["column"] else ""
        yield f"  line {flaw['line']}{column}: {printable(flaw['message'])}"
    if verdict.flawed > FLAWS_SHOWN_MAX:
        yield f"  … and {count(verdict.flawed - FLAWS_SHOWN_MAX)} more; --json shows them"


def _cost(verdict: Verdict) -> str:
    if verdict.cost_estimate is None:
        return f'no price is set; add [pricing."{verdict.model}"] to the settings'
    least = money(verdict.cost_input)
    if verdict.kind == "embed":
        return f"about {least}"
    return f"{least} for the prompts; about {money(verdict.cost_estimate)} with answers as long"


# ---- looking ------------------------------------------------------------------------------------


def _verdict(file: Path, settings: "Settings", given: dict[str, Any]) -> Verdict:
    from orchestrator.cli.dropping import check_file
    from orchestrator.config.options import choose
    from orchestrator.domain.options import BadOptions

    check_file(file)
    try:
        choice = choose(settings, given["profile"], _options(file, given))
    except BadOptions as error:
        return _refused(file, str(error))
    import asyncio
    import tempfile

    with tempfile.TemporaryDirectory(prefix="orchestrator-check-") as scratch:
        return asyncio.run(_look(file, settings, choice, Path(scratch)))


def _options(file: Path, given: dict[str, Any]) -> str | None:
    """Return the options file's text with what the command line says on top."""
    from orchestrator.cli.dropping import split_name

    beside = given["options"] or file.with_name(split_name(file.name)[0] + ".toml")
    said = [f"{key} = {json.dumps(given[key])}" for key in ("model", "kind") if given[key]]
    try:
        text = beside.read_text("utf-8")
    except FileNotFoundError:
        if given["options"]:
            message = f"{shown_name(str(beside))}: there is no such file; check --options"
            raise failure.Failure(message, failure.NO_INPUT) from None
        return "\n".join(said) or None
    except (OSError, UnicodeDecodeError) as error:
        message = f"{shown_name(str(beside))}: cannot be read: {error}; check the file"
        raise failure.Failure(message, failure.NO_INPUT) from None
    kept = [line for line in text.splitlines() if not _overridden(line, given)]
    return "\n".join([*said, *kept])


def _overridden(line: str, given: dict[str, Any]) -> bool:
    key = line.partition("=")[0].strip()
    return key in {"model", "kind"} and bool(given[key])


def _refused(file: Path, reason: str, choice: "Choice | None" = None) -> Verdict:
    model, kind = (choice.model, choice.kind) if choice else ("", "")
    zero = dict.fromkeys(("requests", "flawed", "duplicates", "warnings", "batches", "bytes"), 0)
    return Verdict(
        file=str(file), accepted=False, reason=reason, model=model, kind=kind, mode=None,
        tokens=0, cost_input=None, cost_estimate=None, flaws=[], **zero,
    )  # fmt: skip


async def _look(file: Path, settings: "Settings", choice: "Choice", scratch: Path) -> Verdict:
    from orchestrator.cli.dry_run import DryRun

    run = DryRun(file, scratch, settings, choice)
    with run.workers():
        report = await run.index()
        reason = run.reason(report)
        parts = [] if reason else await run.plan()
        return _told(file, choice, report, reason, parts, run)


def _told(
    file: Path,
    choice: "Choice",
    report: "IndexReport",
    reason: str | None,
    parts: "list[PartPlan]",
    run: Any,
) -> Verdict:
    tokens = sum(part.tokens for part in parts)
    prompts, all_of_it = run.costs(tokens)
    return Verdict(
        file=str(file),
        accepted=reason is None,
        reason=reason,
        model=choice.model,
        kind=choice.kind,
        requests=report.requests,
        flawed=report.flawed,
        duplicates=report.duplicates,
        warnings=report.warnings,
        batches=len(parts),
        mode=parts[0].mode if parts else None,
        bytes=sum(part.wire_bytes for part in parts),
        tokens=tokens,
        cost_input=prompts,
        cost_estimate=all_of_it,
        flaws=run.flaws(),
    )
