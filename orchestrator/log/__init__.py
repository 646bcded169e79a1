"""The log: one line per event, as JSON or for people, and the one list of events.

An event is a constant `noun.past_verb`, its facts are listed keys. A line never holds a request
body, an upload URL or a secret, and what others wrote (names, messages) cannot forge lines or
speak to the terminal.
"""

from orchestrator.log.events import EVENTS
from orchestrator.log.lines import configure, relevel
from orchestrator.log.moves import tell

__all__ = ["EVENTS", "configure", "relevel", "tell"]
