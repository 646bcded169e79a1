"""Signals: the first SIGTERM or SIGINT ends cleanly, the second at once, SIGHUP reads again."""

import asyncio
import signal
from dataclasses import dataclass, field
from enum import Enum

import structlog

log = structlog.get_logger()


class Ending(Enum):
    """Why a shift of the daemon ended."""

    STOP = "stop"
    RELOAD = "reload"


@dataclass(slots=True)
class Stop:
    """Tells the stages to end, and remembers why. `reread` asks for a look at the settings."""

    event: asyncio.Event
    ending: Ending = Ending.STOP
    reread: asyncio.Event = field(default_factory=asyncio.Event)

    def ask(self, ending: Ending) -> None:
        """End. A stop overtakes a reload that is under way, never the other way round."""
        if ending is Ending.STOP or not self.event.is_set():
            self.ending = ending
        self.event.set()

    @property
    def is_reload(self) -> bool:
        """Whether the stages end only to begin again."""
        return self.event.is_set() and self.ending is Ending.RELOAD

    def rearm(self) -> None:
        """Go on after a reload; a stop that was asked for meanwhile stays asked for."""
        if self.ending is Ending.RELOAD:
            self.event.clear()


def heed_signals(stop: Stop) -> None:
    """End cleanly at the first SIGTERM or SIGINT, at once at the second; read again at SIGHUP."""
    loop = asyncio.get_running_loop()

    def heed(number: signal.Signals) -> None:
        log.info("daemon.stopping", signal=number.name)
        stop.ask(Ending.STOP)
        loop.remove_signal_handler(number)  # the second one is the system's own, and final

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, heed, number)
    loop.add_signal_handler(signal.SIGHUP, stop.reread.set)
