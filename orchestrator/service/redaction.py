"""Taking secrets out of finished text, whatever brought them there."""

import base64
import json
import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from urllib.parse import quote, quote_plus

MASK = "[secret]"
SECRET_CHARACTERS_MIN = 6  # hiding anything shorter would only make holes in words

# An upload URL is a capability; and a Google API key looks the same wherever it comes from.
_LOOKS_SECRET = re.compile(
    r"(?<=upload_id=)[^&\s\"'\\]+|AIza[0-9A-Za-z_-]{35}|(?<=[?&]key=)[^&\s\"'\\]+"
)


_remembered: dict[str, None] = {}  # in the order in which they were read


def remember(*secrets: str) -> None:
    """Note secrets that this process has read: from now on no line of its log holds them."""
    _remembered.update(dict.fromkeys(filter(None, secrets)))


def remembered() -> tuple[str, ...]:
    """Return every secret that this process has ever read."""
    return tuple(_remembered)


class Redactor:
    """Replaces every known secret, and its usual encodings, in a line of text."""

    def __init__(self, secrets: Callable[[], Iterable[str]]) -> None:
        self._secrets = secrets

    def __call__(self, text: str) -> str:
        """Return the text without secrets."""
        for form in _forms(tuple(self._secrets())):
            if form in text:
                text = text.replace(form, MASK)
        return _LOOKS_SECRET.sub(MASK, text)


@lru_cache(maxsize=64)
def _forms(secrets: tuple[str, ...]) -> tuple[str, ...]:
    forms = {
        form
        for secret in secrets
        if len(secret) >= SECRET_CHARACTERS_MIN
        for form in (secret, *_in_urls(secret), json.dumps(secret)[1:-1], *_base64(secret))
    }
    return tuple(sorted(forms, key=len, reverse=True))


def _in_urls(secret: str) -> tuple[str, ...]:
    return quote(secret), quote(secret, safe=""), quote_plus(secret)


def _base64(secret: str) -> Iterable[str]:
    """Yield what the secret looks like inside any base64 text, at each of the three offsets."""
    raw = secret.encode()
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for offset in range(3):
            text = encode(b"\0" * offset + raw).decode("ascii")
            first = (offset * 8 + 5) // 6  # digits that also hold bits of what comes before
            last = (offset + len(raw)) * 8 // 6  # and of what comes after
            yield text[first:last]
