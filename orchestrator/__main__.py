"""`python -m orchestrator`, and the console script."""

import sys

INTERRUPTED = 130


def main() -> None:
    """Run the command line and exit with its code; Ctrl-C is heeded from the first import on."""
    try:
        from orchestrator.cli.program import main as command_line  # noqa: PLC0415 - see above

        code = command_line()
    except KeyboardInterrupt:
        code = INTERRUPTED
    sys.exit(code)


if __name__ == "__main__":
    main()
