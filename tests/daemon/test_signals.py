"""What signals make of a life, in whatever order they come."""

import asyncio
from itertools import permutations

import pytest

from orchestrator.daemon.signals import Ending, Stop


@pytest.mark.parametrize("asked", list(permutations([Ending.RELOAD, Ending.STOP])))
def test_a_stop_overtakes_a_reload_and_not_the_other_way_round(asked):
    """Whoever asks for an end beside a reload, before or after it, gets an end."""
    stop = Stop(asyncio.Event())

    for ending in asked:
        stop.ask(ending)

    assert stop.ending is Ending.STOP
    assert stop.event.is_set()


def test_a_reload_alone_is_a_reload():
    """Reading the settings again does not end the daemon."""
    stop = Stop(asyncio.Event())

    stop.ask(Ending.RELOAD)

    assert stop.ending is Ending.RELOAD
    assert stop.event.is_set()
