"""Which call is it: method and path to the name of an endpoint and the names in the path."""

import re

VERSIONS = "v1beta|v1alpha|v1"

_TABLE = (
    (
        "batches.create",
        "POST",
        r"(?P<family>models|tunedModels)/(?P<model>[^/:]+):batchGenerateContent",
    ),
    (
        "batches.create_embed",
        "POST",
        r"(?P<family>models|tunedModels)/(?P<model>[^/:]+):asyncBatchEmbedContent",
    ),
    ("batches.list", "GET", r"batches"),
    ("batches.get", "GET", r"batches/(?P<id>[^/:]+)"),
    ("batches.cancel", "POST", r"batches/(?P<id>[^/:]+):cancel"),
    ("batches.delete", "DELETE", r"batches/(?P<id>[^/:]+)"),
    ("batches.patch", "PATCH", r"batches/(?P<id>[^/:]+):updateGenerateContentBatch"),
    ("batches.patch_embed", "PATCH", r"batches/(?P<id>[^/:]+):updateEmbedContentBatch"),
    ("files.list", "GET", r"files"),
    ("files.create", "POST", r"files"),
    ("files.register", "POST", r"files:register"),
    ("files.download", "GET", r"files/(?P<id>[^/:]+):download"),
    ("files.get", "GET", r"files/(?P<id>[^/:]+)"),
    ("files.delete", "DELETE", r"files/(?P<id>[^/:]+)"),
    ("generated_files.list", "GET", r"generatedFiles"),
    ("models.list", "GET", r"models"),
    ("models.get", "GET", r"models/(?P<model>[^/:]+)"),
    ("models.generate", "POST", r"models/(?P<model>[^/:]+):generateContent"),
    ("models.embed", "POST", r"models/(?P<model>[^/:]+):embedContent"),
    ("models.embed_batch", "POST", r"models/(?P<model>[^/:]+):batchEmbedContents"),
    ("models.count_tokens", "POST", r"models/(?P<model>[^/:]+):countTokens"),
    ("operations.list", "GET", r"models/(?P<model>[^/:]+)/operations"),
    ("operations.get", "GET", r"models/(?P<model>[^/:]+)/operations/(?P<id>[^/:]+)"),
    ("webhooks.create", "POST", r"webhooks"),
    ("webhooks.list", "GET", r"webhooks"),
    ("webhooks.get", "GET", r"webhooks/(?P<id>[^/:]+)"),
    ("webhooks.patch", "PATCH", r"webhooks/(?P<id>[^/:]+)"),
    ("webhooks.delete", "DELETE", r"webhooks/(?P<id>[^/:]+)"),
    ("webhooks.ping", "POST", r"webhooks/(?P<id>[^/:]+):ping"),
    ("webhooks.rotate", "POST", r"webhooks/(?P<id>[^/:]+):rotateSigningSecret"),
)
_ROUTES = tuple(
    (endpoint, method, re.compile(rf"/(?P<version>{VERSIONS})/{pattern}\Z"))
    for endpoint, method, pattern in _TABLE
)
_JWKS = "/.well-known/jwks.json"
_UPLOAD = re.compile(rf"/(?:resumable/)?upload/(?P<version>{VERSIONS})/files\Z")
_DOWNLOAD = re.compile(rf"/download/(?P<version>{VERSIONS})/files/(?P<id>[^/:]+):download\Z")


def route(method: str, path: str) -> tuple[str, dict[str, str]] | None:
    """Name the endpoint of a call, with the parts of its path; None when there is no such call."""
    if method == "GET" and path == _JWKS:
        return "webhooks.jwks", {"version": "v1"}
    if method in {"POST", "PUT"} and (found := _UPLOAD.match(path)):
        return "files.upload", found.groupdict()
    if method == "GET" and (found := _DOWNLOAD.match(path)):
        return "files.download", found.groupdict()
    for endpoint, wanted, pattern in _ROUTES:
        if wanted == method and (found := pattern.match(path)):
            return endpoint, found.groupdict()
    return None
