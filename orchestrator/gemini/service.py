"""Where the service is, and the bounds that every call to it keeps."""

from dataclasses import dataclass
from datetime import timedelta

from yarl import URL

MEBIBYTE = 1 << 20
GIBIBYTE = 1 << 30
ADDRESS_CHARACTERS_MAX = 8192


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The service's address and the bounds of a call to it.

    `base_url` may have a path. `call_timeout` bounds a short call as a whole, `create_timeout` a
    create. A transfer may last as long as it must, but one that moves less than
    `stall_bytes_min` in `stall_timeout` is given up, so that an endless drip ends too.
    `other_hosts` lets an upload or a download go where the service sends it, without the key.
    """

    base_url: str = "https://generativelanguage.googleapis.com"
    api_version: str = "v1beta"
    connect_timeout: timedelta = timedelta(seconds=15)
    call_timeout: timedelta = timedelta(seconds=60)
    create_timeout: timedelta = timedelta(seconds=120)
    stall_timeout: timedelta = timedelta(seconds=60)
    stall_bytes_min: int = 64 * 1024
    answer_bytes_max: int = 8 * MEBIBYTE
    header_bytes_max: int = 16 * 1024
    item_bytes_max: int = 256 * MEBIBYTE
    download_bytes_max: int = 64 * GIBIBYTE
    upload_chunk_bytes: int = 128 * MEBIBYTE
    connections_max: int = 32
    pages_max: int = 1000
    other_hosts: bool = False

    @property
    def root(self) -> str:
        """Return the base without a slash at its end."""
        return self.base_url.rstrip("/")

    def url(self, path: str, query: dict[str, str] | None = None) -> URL:
        """Address `path` below the API version. The path must have been checked."""
        return _address(f"{self.root}/{self.api_version}/{path}", query)

    def upload_url(self) -> URL:
        """Address the start of an upload."""
        return _address(f"{self.root}/upload/{self.api_version}/files", None)

    def download_urls(self, file: str) -> tuple[URL, URL]:
        """Address the content of an output file by both doors, the recorded one first."""
        query = {"alt": "media"}
        return (
            _address(f"{self.root}/download/{self.api_version}/{file}:download", query),
            self.url(f"{file}:download", query),
        )

    def is_home(self, url: URL) -> bool:
        """Tell whether `url` has our scheme, host and port, and no credentials in it."""
        return _plain_http(url) and url.origin() == URL(self.root).origin()

    def sent_to(self, text: str, base: URL | None = None) -> URL | None:
        """Read an address to which the service sends us; None unless we may go there.

        Only the service's own address is, or any if the operator allows it: then without the key.
        """
        if len(text) > ADDRESS_CHARACTERS_MAX or not text.isascii() or not text.isprintable():
            return None
        try:
            told = URL(text, encoded=True)
            url = base.join(told) if base is not None else told
            return url if " " not in text and self._may_visit(url) else None
        except ValueError:  # some parts of a URL are only read when they are asked for
            return None

    def _may_visit(self, url: URL) -> bool:
        if self.is_home(url):
            return True
        downgrade = url.scheme == "http" and URL(self.root).scheme == "https"
        return self.other_hosts and _plain_http(url) and not downgrade


def _address(text: str, query: dict[str, str] | None) -> URL:
    url = URL(text, encoded=True)
    return url.with_query(query) if query else url


def _plain_http(url: URL) -> bool:
    return url.scheme in {"http", "https"} and bool(url.host) and url.user is url.password is None
