"""What one writes first: upload, create, poll, download. It keeps no state and checks nothing."""

import sys
import time

from google import genai
from google.genai import types

url, source, target, model = sys.argv[1:]
client = genai.Client(api_key="benchmark", http_options=types.HttpOptions(base_url=url))
file = client.files.upload(
    file=source, config=types.UploadFileConfig(mime_type="application/jsonl")
)
assert file.name
job = client.batches.create(model=model, src=file.name)
assert job.name
while not job.done:
    time.sleep(0.5)
    job = client.batches.get(name=job.name)
assert job.dest
assert job.dest.file_name
with open(target, "wb") as out:  # noqa: PTH123 - as one writes it first
    out.write(client.files.download(file=job.dest.file_name))
