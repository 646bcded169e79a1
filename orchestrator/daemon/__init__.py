"""Where everything is put together: adapters are opened, stages wired, signals heeded."""

from orchestrator.daemon.process import run

__all__ = ["run"]
