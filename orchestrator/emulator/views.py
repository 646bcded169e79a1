"""Jobs as the service shows them: Operations with a GenerateContentBatch or EmbedContentBatch in
`metadata`.
"""

from typing import Any

import msgspec

from orchestrator.emulator.clock import NS, stamp
from orchestrator.emulator.job import RUNNING, SUCCEEDED, Job
from orchestrator.emulator.messages import PACKAGE
from orchestrator.emulator.settings import Unknowns

TYPE = f"type.googleapis.com/{PACKAGE}."
MESSAGES = {"generate": "GenerateContentBatch", "embed": "EmbedContentBatch"}


def operation(
    job: Job, metadata: dict[str, Any], output: dict[str, Any] | None, unknowns: Unknowns
) -> dict[str, Any]:
    """Write a job as an Operation; `done` appears only when it is true, the output appears
    twice.
    """
    shown: dict[str, Any] = {"name": f"batches/{job.id}", "metadata": metadata}
    if job.is_active or job.ended is None:
        return shown
    if job.state == SUCCEEDED or unknowns.ended_badly_done:
        shown["done"] = True
    if job.code is not None:
        shown["error"] = {"code": job.code, "message": job.message or ""}
        if job.fate.details:
            shown["error"]["details"] = job.fate.details
    elif output is not None:
        type_ = f"{TYPE}{MESSAGES[job.kind]}"
        suffix = "Output" if job.kind == "generate" or unknowns.embed_type_output else ""
        shown["response"] = {"@type": type_ + suffix, **output}
    return shown


def metadata(
    job: Job,
    *,
    stale: bool,
    output: dict[str, Any] | None,
    progress: float,
    unknowns: Unknowns,
) -> dict[str, Any]:
    """Write the batch itself; zero counters and empty fields are left out."""
    skew = round(job.fate.skew * NS)
    shown: dict[str, Any] = {
        "@type": f"{TYPE}{MESSAGES[job.kind]}",
        "model": f"models/{job.model}",
    }
    if job.display_name:
        shown["displayName"] = job.display_name
    if job.input_file:
        shown["inputConfig"] = {"fileName": f"files/{job.input_file}"}
    if output is not None:
        shown["output"] = output
    shown["createTime"] = stamp(job.created + skew)
    if job.ended is not None:
        shown["endTime"] = stamp(job.ended + skew)
    if job.ended is None or unknowns.update_time_at_end:
        shown["updateTime"] = stamp(job.updated + skew)
    shown["batchStats"] = _stats(job, stale=stale, progress=progress, unknowns=unknowns)
    shown["state"] = job.state
    if job.priority:
        shown["priority"] = str(job.priority)
    if job.uris:
        shown["webhookConfig"] = {"uris": job.uris, "userMetadata": job.user_metadata}
    shown["name"] = f"batches/{job.id}"
    return shown


def _stats(job: Job, *, stale: bool, progress: float, unknowns: Unknowns) -> dict[str, str]:
    served = job.state == SUCCEEDED
    failed = job.failed if served else 0
    good = job.count - failed if served else 0
    if job.state == RUNNING and unknowns.moving_stats:
        good = int(job.count * progress)
    if stale:
        good = failed = 0
    counts = {
        "requestCount": job.count,
        "successfulRequestCount": good,
        "failedRequestCount": failed,
        "pendingRequestCount": job.count - good - failed,
    }
    return {name: str(count) for name, count in counts.items() if count}


def inlined(items: list[dict[str, Any]]) -> dict[str, Any]:
    """Write inline results under their doubled name."""
    raw = msgspec.Raw(msgspec.json.encode({"inlinedResponses": items}))
    return {"inlinedResponses": raw}
