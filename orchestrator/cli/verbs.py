"""The orders for one set: each safe at any moment, and the same when given twice."""

from pathlib import Path

import click

from orchestrator.cli import screen
from orchestrator.cli.connection import asking, client, complete_set
from orchestrator.cli.failure import OK
from orchestrator.cli.options import config_option, examples, json_option
from orchestrator.service.printable import printable


def _order(
    verb: str, config: Path | None, wanted: str, body: dict[str, str] | None, *, as_json: bool
) -> int:
    """Find the set, give the order, print what was done."""
    daemon = client(config)
    with asking():
        answer = daemon.order(verb, daemon.find(wanted)["id"], body)
    if as_json:
        screen.say_json(answer)
    else:
        screen.say(f"{printable(wanted)}: {printable(answer['message'])}")
    return OK


_set_argument = click.argument("wanted", metavar="SET", shell_complete=complete_set)
_token_argument = click.argument("token", metavar="BATCH")


@click.command(
    short_help="Cancel a set and deliver what was answered.",
    epilog=examples("orchestrator cancel prompts"),
)
@_set_argument
@config_option()
@json_option()
def cancel(wanted: str, config: Path | None, *, as_json: bool) -> int:
    """Cancel a set: start nothing new, cancel its jobs, deliver what was answered."""
    return _order("cancel", config, wanted, None, as_json=as_json)


@click.command(
    short_help="Start nothing new for a set.", epilog=examples("orchestrator pause prompts")
)
@_set_argument
@config_option()
@json_option()
def pause(wanted: str, config: Path | None, *, as_json: bool) -> int:
    """Pause a set: start nothing new; what is at the service goes on and is collected."""
    return _order("pause", config, wanted, None, as_json=as_json)


@click.command(
    short_help="Go on with a paused or held set.", epilog=examples("orchestrator resume prompts")
)
@_set_argument
@config_option()
@json_option()
def resume(wanted: str, config: Path | None, *, as_json: bool) -> int:
    """Go on with a paused or held set. A cap on cost that held it is lifted for this set."""
    return _order("resume", config, wanted, None, as_json=as_json)


@click.command(
    short_help="Send the failed requests of a delivered set again.",
    epilog=examples("orchestrator retry prompts"),
)
@_set_argument
@config_option()
@json_option()
def retry(wanted: str, config: Path | None, *, as_json: bool) -> int:
    """Send the failed requests of a delivered set again; what was answered is not paid twice."""
    return _order("retry", config, wanted, None, as_json=as_json)


@click.command(
    "delete-remote",
    short_help="Delete what a finished set left at the service.",
    epilog=examples("orchestrator delete-remote prompts"),
)
@_set_argument
@config_option()
@json_option()
def delete_remote(wanted: str, config: Path | None, *, as_json: bool) -> int:
    """Delete the jobs and files that a finished set left at the service."""
    return _order("delete-remote", config, wanted, None, as_json=as_json)


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
    return _order("absent", config, wanted, {"token": token}, as_json=as_json)


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
    return _order("adopt", config, wanted, {"token": token, "job": job}, as_json=as_json)
