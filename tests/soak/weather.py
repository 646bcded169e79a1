"""What befalls the daemon in a simulated month: every action of the emulator's plan has its days.

Times are real seconds. Left out are actions whose answers the judge could not tell apart. Nothing
goes beyond what the daemon assumes of late creates and of lists that lag; else a request could be
paid twice by the provider's own fault.
"""

from collections.abc import Mapping
from random import Random
from typing import Any

LATE_SECONDS = 1.0
LAG_SECONDS = 1.5
CALLS = ("batches.create", "batches.get", "batches.list", "files.*", "files.download", "*")

ANYWHERE: tuple[Mapping[str, Any], ...] = (
    {"do": "unavailable"},
    {"do": "quota", "seconds": 1},
    {"do": "empty_error"},
    {"do": "html", "status": 502},
    {"do": "malformed"},
    {"do": "list_wrapped_error", "status": 500},
    {"do": "redirect", "location": "http://127.0.0.1:9/login"},
    {"do": "lose_request"},
    {"do": "lose_answer"},
    {"do": "half_answer", "fraction": 0.5},
    {"do": "slow", "seconds": 0.5},
    {"do": "slow_answer", "seconds": 1},
    {"do": "slow_answer", "seconds": 6},
    {"do": "drip", "bytes": 40, "seconds": 0.05},
    {"do": "answer", "status": 500, "body": "\x1b[2J\u0000not json"},
    {"do": "answer", "status": 200, "body": '{"name":"batches/../../x"}'},
)
CREATES: tuple[Mapping[str, Any], ...] = (
    {"do": "late", "seconds": LATE_SECONDS},
    {"do": "late", "seconds": LATE_SECONDS / 3, "status": 503},
    {"do": "no_credit", "times": 3},
    {"do": "fail", "code": 13, "message": "internal", "times": 4},
    {"do": "fail", "code": 8, "message": "quota", "times": 4},
    {"do": "expire", "times": 4},
    {"do": "cancelled", "times": 3},
    {"do": "stuck", "times": 2},
    {"do": "stuck", "text": "pending", "times": 1},
    {"do": "late_output", "seconds": 2},
    {"do": "twin", "count": 1, "times": 1},
    {"do": "hide_new", "seconds": LAG_SECONDS},
    {"do": "lag_get", "seconds": 1},
    {"do": "shuffle"},
    {"do": "cut_last_line", "times": 3},
    {"do": "partial", "fraction": 0.5, "times": 3},
    {"do": "skew", "seconds": 3600},
    {"do": "row_error", "code": 13, "message": "internal", "rows": 0.2},
    {"do": "row_missing", "rows": 0.2, "times": 4},
    {"do": "row_doubled", "rows": 0.2},
    {"do": "row_unknown", "rows": 0.2},
    {"do": "row_malformed", "rows": 0.1, "times": 4},
)
LISTS: tuple[Mapping[str, Any], ...] = (
    {"do": "hide", "seconds": LAG_SECONDS},
    {"do": "empty_list"},
    {"do": "empty_page"},
    {"do": "truncate_page", "count": 1},
    {"do": "repeat_page_token"},
)
FILES: tuple[Mapping[str, Any], ...] = (
    {"do": "processing", "seconds": 1},
    {"do": "file_failed", "times": 2},
    {"do": "no_upload_status", "times": 3},
    {"do": "out_of_step", "times": 3},
    {"do": "cancel_session", "times": 3},
    {"do": "final_without_body", "times": 3},
    {"do": "cut_request", "bytes": 100, "times": 3},
    {"do": "cut", "bytes": 200, "times": 4},
    {"do": "ignore_range"},
    {"do": "not_there", "times": 3},
)


def drawn(chance: Random) -> list[dict[str, Any]]:
    """Draw the faults of one day: two of any call's, and one of each of the other kinds."""
    anywhere = [{**one, "on": chance.choice(CALLS)} for one in chance.sample(ANYWHERE, 2)]
    other = [dict(chance.choice(kind)) for kind in (CREATES, CREATES, LISTS, FILES)]
    return [
        {"probability": chance.choice((0.1, 0.3, 0.6)), **fault} for fault in (*anywhere, *other)
    ]
