"""The orders for sets: each safe at any moment, and the same when given twice."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from orchestrator.cli import screen
from orchestrator.cli.connection import asking, client, complete_set
from orchestrator.cli.failure import NO_PERMISSION, OK, UNAVAILABLE, USAGE, Failure
from orchestrator.cli.options import config_option, examples, json_option
from orchestrator.service.printable import printable
from orchestrator.status.client import Client

FOR_FINISHED = frozenset({"retry", "delete-remote"})
NOBODY_CAN = frozenset({NO_PERMISSION, UNAVAILABLE})  # so the next set need not be tried


def _order(
    verb: str,
    config: Path | None,
    wanted: Sequence[str],
    body: dict[str, str] | None = None,
    *,
    as_json: bool,
) -> int:
    """Give the order for each set and print what was done; one that is refused stops no other."""
    daemon = client(config)
    answers: list[Any] = []
    refusals: list[Failure] = []
    for name in wanted:
        try:
            label, answer = _one(daemon, verb, name, body)
        except Failure as refused:
            refusals.append(refused)
            answers.append(refused.problem())
            if refused.code in NOBODY_CAN:
                break
            continue
        answers.append(answer)
        if not as_json:
            screen.say(f"{printable(label)}: {printable(answer['message'])}")
    if as_json:
        screen.say_json(answers if len(wanted) > 1 else answers[0])
    screen.flush()
    for refusal in refusals:
        screen.hint(f"orchestrator: {printable(str(refusal))}")
    return refusals[-1].code if refusals else OK


def _one(daemon: Client, verb: str, name: str, body: dict[str, str] | None) -> tuple[str, Any]:
    """Give an order for one set; return what the set is called, and the answer."""
    with asking():
        found, alone = _meant(daemon, verb, name)
    id_ = found["id"]
    named = name if name == id_ else f"{found['name']} ({id_})"
    try:
        with asking():
            return (name if alone else named), daemon.order(verb, id_, body)
    except Failure as refused:  # the daemon knows sets by their ids, whoever asked by their names
        raise refused.reworded(str(refused).replace(id_, named)) from None


def _meant(daemon: Client, verb: str, name: str) -> tuple[Any, bool]:
    """Find the set that is meant, and tell whether its name says which; never guess among several.

    Of sets of one name the open one is meant, by what is done to finished sets the newest one.
    """
    found = daemon.find(name)
    if found["name"] != name or found["id"] == name:
        return found, found["id"] == name
    alike = list(daemon.sets(name=name))
    going = [each for each in alike if each["finished_at"] is None]
    if verb in FOR_FINISHED or not going:
        return found, len(alike) == 1
    if len(going) > 1:
        ids = ", ".join(f"{each['id']} ({each['display']})" for each in going)
        message = f"{name}: {len(going)} open sets have this name: {ids}; name one by its id"
        raise Failure(message, USAGE)
    return going[0], len(alike) == 1


def _dollars(_context: click.Context, _option: click.Parameter, said: str | None) -> str | None:
    """Take an amount as the socket does."""
    if said is not None and not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", said):
        raise click.BadParameter("must be an amount of US dollars, as in 25.00")
    return said


_set_argument = click.argument("wanted", metavar="SET", shell_complete=complete_set)
_set_arguments = click.argument(
    "wanted", metavar="SET...", nargs=-1, required=True, shell_complete=complete_set
)
_token_argument = click.argument("token", metavar="BATCH")


@click.command(
    short_help="Cancel sets and deliver what was answered.",
    epilog=examples("orchestrator cancel prompts", "orchestrator cancel monday tuesday"),
)
@_set_arguments
@config_option()
@json_option()
def cancel(wanted: tuple[str, ...], config: Path | None, *, as_json: bool) -> int:
    """Cancel sets: start nothing new, cancel their jobs, deliver what was answered."""
    return _order("cancel", config, wanted, as_json=as_json)


@click.command(
    short_help="Start nothing new for sets.", epilog=examples("orchestrator pause prompts")
)
@_set_arguments
@config_option()
@json_option()
def pause(wanted: tuple[str, ...], config: Path | None, *, as_json: bool) -> int:
    """Pause sets: start nothing new; what is at the service goes on and is collected."""
    return _order("pause", config, wanted, as_json=as_json)


@click.command(
    short_help="Go on with paused or held sets.",
    epilog=examples("orchestrator resume prompts", "orchestrator resume --cap 25.00 prompts"),
)
@_set_arguments
@click.option(
    "--cap",
    callback=_dollars,
    metavar="USD",
    help="What the set may cost as a whole, from now on, instead of its own cap so far.",
)
@config_option()
@json_option()
def resume(wanted: tuple[str, ...], cap: str | None, config: Path | None, *, as_json: bool) -> int:
    """Go on with paused or held sets.

    Of the caps on cost the one that held a set is lifted, for this set, and no other. Held by its
    own cap it has none any more, or the one that --cap gives. Held by the cap of a day it may go
    beyond that day's; left alone, it goes on by itself at midnight (UTC). Held because its model
    has no price it runs without one.
    """
    return _order("resume", config, wanted, {"cap": cap} if cap else None, as_json=as_json)


@click.command(
    short_help="Send again what failed or was cancelled.",
    epilog=examples("orchestrator retry prompts"),
)
@_set_arguments
@config_option()
@json_option()
def retry(wanted: tuple[str, ...], config: Path | None, *, as_json: bool) -> int:
    """Send again what failed in delivered sets, and what was not answered in cancelled ones.

    Of a set that is held because the service lost its jobs, send again what those owe. What was
    answered is kept, and not paid twice. What held a set is judged anew; only a cap on cost goes on
    to hold it until `orchestrator resume`.
    """
    return _order("retry", config, wanted, as_json=as_json)


@click.command(
    "delete-remote",
    short_help="Delete what finished sets left at the service.",
    epilog=examples("orchestrator delete-remote prompts"),
)
@_set_arguments
@config_option()
@json_option()
def delete_remote(wanted: tuple[str, ...], config: Path | None, *, as_json: bool) -> int:
    """Delete the jobs and files that finished sets left at the service."""
    return _order("delete-remote", config, wanted, as_json=as_json)


@click.command(
    short_help="Say that a job held in doubt does not exist.",
    epilog=examples("orchestrator absent prompts orc1-ab3de-k2m4x6q8zt-1-5yh7w"),
)
@_set_argument
@_token_argument
@config_option()
@json_option()
def absent(wanted: str, token: str, config: Path | None, *, as_json: bool) -> int:
    """Say that the job of a batch held in doubt does not exist; its requests are sent again.

    Look at the service first: if the job is there after all, its requests are paid twice.
    """
    return _order("absent", config, [wanted], {"token": token}, as_json=as_json)


@click.command(
    short_help="Say which job is that of a batch held in doubt.",
    epilog=examples("orchestrator adopt prompts orc1-ab3de-k2m4x6q8zt-1-5yh7w batches/x1"),
)
@_set_argument
@_token_argument
@click.argument("job", metavar="JOB")
@config_option()
@json_option()
def adopt(wanted: str, token: str, job: str, config: Path | None, *, as_json: bool) -> int:
    """Say which job is that of a batch held in doubt."""
    return _order("adopt", config, [wanted], {"token": token, "job": job}, as_json=as_json)
