"""An output without a single line is an output: all its answers are missing."""

from pathlib import Path

from orchestrator.domain.ids import IdempotencyKey
from orchestrator.spool import answer_files

TOKEN = IdempotencyKey("orc1-aaaaa-bbbbbbbbbb-1-cccccccccc")


def test_an_empty_download_is_kept(tmp_path: Path) -> None:
    """What was downloaded to its end is kept under its name, even if that was nothing."""
    answer_files.sink(tmp_path, TOKEN)

    answer_files.keep(tmp_path, TOKEN)

    assert answer_files.kept_path(tmp_path, TOKEN).read_bytes() == b""
