"""Processes that were started in a session of their own: a daemon and its workers."""

import os
import signal


def end_all(session: int) -> None:
    signal_all(session, signal.SIGKILL)


def signal_all(session: int, number: signal.Signals) -> None:
    try:
        os.killpg(session, number)
    except ProcessLookupError:
        return
