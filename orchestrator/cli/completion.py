"""`orchestrator completion`: the script that lets a shell complete our commands.

The scripts are click's. A zsh without settings has no completion at all before `compinit`, and fish
would be shown descriptions up to their first comma.
"""

import click

from orchestrator.cli import screen
from orchestrator.cli.failure import OK
from orchestrator.cli.options import examples, json_option

MENDED = {
    "zsh": (
        "    compdef ",
        "    (( $+functions[compdef] )) || { autoload -Uz compinit && compinit -i }\n    compdef ",
    ),
    "fish": ('string split ","', 'string split --max 1 ","'),
}


@click.command(
    epilog=examples(
        'eval "$(orchestrator completion bash)"      in ~/.bashrc',
        'eval "$(orchestrator completion zsh)"       in ~/.zshrc',
        "orchestrator completion fish | source       in ~/.config/fish/config.fish",
    )
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@json_option("Print the script as a JSON string.")
def completion(shell: str, *, as_json: bool) -> int:
    """Print the completion script for a shell."""
    from click.shell_completion import get_completion_class

    from orchestrator.cli.program import program

    kind = get_completion_class(shell)
    assert kind is not None
    script = kind(program, {}, "orchestrator", "_ORCHESTRATOR_COMPLETE").source()
    if shell in MENDED:
        script = script.replace(*MENDED[shell])
    if as_json:
        screen.say_json(script)
    else:
        screen.say(script)
    return OK
