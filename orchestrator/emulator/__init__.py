"""A local emulator of the Gemini Batch and Files API: the provider as plain objects, and HTTP over
them.

`Emulator(settings, clock=…, state_dir=…)` is the provider; `create_app(emulator)` serves it. It
never pretends to be a model.
"""

from orchestrator.emulator.faults import Fault, Plan
from orchestrator.emulator.provider import Emulator
from orchestrator.emulator.server import create_app
from orchestrator.emulator.settings import EmulatorSettings, Model, Quotas, Unknowns

__all__ = [
    "Emulator",
    "EmulatorSettings",
    "Fault",
    "Model",
    "Plan",
    "Quotas",
    "Unknowns",
    "create_app",
]
