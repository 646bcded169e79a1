"""What the stages need from the world, and the three answers a provider can give.

The answers are named by what the caller may do next: `Refused` (certainly not created; do not
repeat as is), `Unavailable` (certainly not created; repeat), `InDoubt` (may exist; ask first).
"""

from orchestrator.ports.around import (
    Clock,
    Ids,
    Notifier,
    Project,
    Sending,
)
from orchestrator.ports.drops import (
    Claim,
    Drop,
    Inbox,
)
from orchestrator.ports.folders import (
    Delivery,
    IndexOrder,
    IndexReport,
    JoinOrder,
    JoinReport,
    Outbox,
    PartPlan,
    PlanOrder,
    Refusal,
    Work,
    part_of,
)
from orchestrator.ports.provider import (
    Body,
    Files,
    Jobs,
    ModelInfo,
    Output,
    Session,
    Sink,
    StoredFile,
)
from orchestrator.ports.trouble import (
    Blocked,
    InDoubt,
    OutboxTaken,
    Refused,
    SourceChanged,
    SourceGone,
    Trouble,
    Unavailable,
)

__all__ = [
    "Blocked",
    "Body",
    "Claim",
    "Clock",
    "Delivery",
    "Drop",
    "Files",
    "Ids",
    "InDoubt",
    "Inbox",
    "IndexOrder",
    "IndexReport",
    "Jobs",
    "JoinOrder",
    "JoinReport",
    "ModelInfo",
    "Notifier",
    "Outbox",
    "OutboxTaken",
    "Output",
    "PartPlan",
    "PlanOrder",
    "Project",
    "Refusal",
    "Refused",
    "Sending",
    "Session",
    "Sink",
    "SourceChanged",
    "SourceGone",
    "StoredFile",
    "Trouble",
    "Unavailable",
    "Work",
    "part_of",
]
