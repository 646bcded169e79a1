"""The official guide's own curl samples run against the emulator, but for its address and key."""

import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.emulator.served import served

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("curl") is None, reason="curl is missing; install it"),
]

INLINE = r"""
curl -s $BASE_URL/v1beta/models/gemini-2.5-flash:batchGenerateContent \
-H "x-goog-api-key: $GEMINI_API_KEY" \
-X POST \
-H "Content-Type:application/json" \
-d '{
    "batch": {
        "display_name": "my-batch-requests",
        "input_config": {
            "requests": {
                "requests": [
                    {
                        "request": {"contents": [{"parts": [{"text": "Describe rain."}]}]},
                        "metadata": {"key": "request-1"}
                    },
                    {
                        "request": {"contents": [{"parts": [{"text": "What is the weather?"}]}]},
                        "metadata": {"key": "request-2"}
                    }
                ]
            }
        }
    }
}'
"""

FILE = r"""
tmp_batch_input_file=batch_input.tmp
cat > "$tmp_batch_input_file" <<'JSONL'
{"key": "request_1", "request": {"contents": [{"parts": [{"text": "Explain AI"}]}]}}
{"key": "request_2", "request": {"contents": [{"parts": [{"text": "Explain DNA"}]}]}}
JSONL
MIME_TYPE=application/jsonl
NUM_BYTES=$(wc -c < "${tmp_batch_input_file}")
DISPLAY_NAME=BatchInput

tmp_header_file=upload-header.tmp

curl "${BASE_URL}/upload/v1beta/files" \
-D "${tmp_header_file}" \
-H "x-goog-api-key: $GEMINI_API_KEY" \
-H "X-Goog-Upload-Protocol: resumable" \
-H "X-Goog-Upload-Command: start" \
-H "X-Goog-Upload-Header-Content-Length: ${NUM_BYTES}" \
-H "X-Goog-Upload-Header-Content-Type: ${MIME_TYPE}" \
-H "Content-Type: application/jsonl" \
-d "{'file': {'display_name': '${DISPLAY_NAME}'}}" 2> /dev/null

upload_url=$(grep -i "x-goog-upload-url: " "${tmp_header_file}" | cut -d" " -f2 | tr -d "\r")
rm "${tmp_header_file}"

curl "${upload_url}" \
-H "Content-Length: ${NUM_BYTES}" \
-H "X-Goog-Upload-Offset: 0" \
-H "X-Goog-Upload-Command: upload, finalize" \
--data-binary "@${tmp_batch_input_file}" 2> /dev/null > file_info.json

file_uri=$(python3 -c 'import json; print(json.load(open("file_info.json"))["file"]["name"])')

printf '{"batch": {"display_name": "my", "input_config": {"file_name": "%s"}}}' "$file_uri" \
  > batch_request.json
curl -s $BASE_URL/v1beta/models/gemini-2.5-flash:batchGenerateContent \
-H "x-goog-api-key: $GEMINI_API_KEY" \
-X POST \
-H "Content-Type:application/json" \
-d @batch_request.json
"""

STATUS = r"""
curl -s $BASE_URL/v1beta/$BATCH_NAME \
-H "x-goog-api-key: $GEMINI_API_KEY" \
-H "Content-Type:application/json"
"""

DOWNLOAD = r"""
curl -s $BASE_URL/download/v1beta/$RESPONSES_FILE:download?alt=media \
-H "x-goog-api-key: $GEMINI_API_KEY"
"""

CANCEL = r"""
curl -s $BASE_URL/v1beta/$BATCH_NAME:cancel -X POST \
-H "x-goog-api-key: $GEMINI_API_KEY" \
-H "Content-Type:application/json" -d '{}'
"""

DELETE = r"""
curl -s -X DELETE $BASE_URL/v1beta/$BATCH_NAME -H "x-goog-api-key: $GEMINI_API_KEY"
"""


def _run(sample: str, folder: Path, base: str, **names: str) -> str:
    environment = {"PATH": "/usr/bin:/bin:/usr/local/bin", "BASE_URL": base}
    environment |= {"GEMINI_API_KEY": "k"} | names
    command = ["bash", "-euo", "pipefail", "-c", sample]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_guide_s_samples_run(tmp_path: Path) -> None:
    """Inline and file creation, status, results, cancel and delete, as the guide writes them."""
    with served(tmp_path) as base:
        inline = json.loads(_run(INLINE, tmp_path, base))
        by_file = json.loads(_run(FILE, tmp_path, base))
        doomed = json.loads(_run(INLINE, tmp_path, base))
        cancelled = json.loads(_run(CANCEL, tmp_path, base, BATCH_NAME=doomed["name"]))
        ended = [_wait(tmp_path, base, job["name"]) for job in (inline, by_file, doomed)]
        file = ended[1]["response"]["responsesFile"]
        results = _run(DOWNLOAD, tmp_path, base, RESPONSES_FILE=file)
        deleted = json.loads(_run(DELETE, tmp_path, base, BATCH_NAME=inline["name"]))

    items = ended[0]["response"]["inlinedResponses"]["inlinedResponses"]
    assert [item["metadata"]["key"] for item in items] == ["request-1", "request-2"]
    assert [json.loads(line)["key"] for line in results.splitlines()] == ["request_1", "request_2"]
    assert ended[2]["metadata"]["state"] == "BATCH_STATE_CANCELLED"
    assert cancelled == deleted == {}


def _wait(folder: Path, base: str, name: str) -> Any:
    while True:
        job = json.loads(_run(STATUS, folder, base, BATCH_NAME=name))
        if job.get("done"):
            return job
        time.sleep(0.05)
