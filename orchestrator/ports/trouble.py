"""The answers a provider can give, and what else can come between, named by what to do next."""

from datetime import timedelta


class Trouble(Exception):
    """A call to the provider that did not do what was asked. Never carries a secret."""


class Refused(Trouble):
    """Certainly not done, and never will be as it stands.

    `code` is the HTTP status, `message` the service's own words, `line` the 1-based line of
    the input that it named, if any. `no_file` is True if the input file is said to be gone.
    """

    def __init__(
        self,
        code: int,
        status: str,
        message: str,
        line: int | None = None,
        *,
        no_file: bool = False,
    ) -> None:
        super().__init__(f"{code} {status}: {message}")
        self.code = code
        self.status = status
        self.message = message
        self.line = line
        self.no_file = no_file


class Unavailable(Trouble):
    """Certainly not done; it may be repeated, not before `retry_after` if that is given.

    `overloaded` is True for 429: the caller asks for less, not only later.
    """

    def __init__(
        self, why: str, retry_after: timedelta | None = None, *, overloaded: bool = False
    ) -> None:
        super().__init__(why)
        self.retry_after = retry_after
        self.overloaded = overloaded


class Blocked(Unavailable):
    """Certainly not done, and nothing will be for this project until `remedy` was followed.

    `about_key` is True if no call at all is served with this key: one that is proves it mended.
    """

    def __init__(self, why: str, remedy: str, *, about_key: bool = False) -> None:
        super().__init__(f"{why}; {remedy}")
        self.about_key = about_key
        self.why = why
        self.remedy = remedy


class InDoubt(Trouble):
    """It may have taken effect. Only for creates: ask the list before anything is sent again."""


class OutboxTaken(Exception):
    """The reserved outbox name belongs to somebody else: deliver under another."""


class SourceGone(Exception):
    """The answers of a first run are no longer there: the drop has to be run for itself."""


class SourceChanged(Exception):
    """The claimed input is no longer what was read at intake; nothing may be sent from it."""
