"""How a command fails: one line on standard error and an exit code of sysexits(3)."""

import os

OK = 0
SOME_FAILED = 1
USAGE = os.EX_USAGE  # 64: the command line is wrong
DATA = os.EX_DATAERR  # 65: the input is wrong
NO_INPUT = os.EX_NOINPUT  # 66: the input is not there
UNAVAILABLE = os.EX_UNAVAILABLE  # 69: no daemon, or it cannot do that
SOFTWARE = os.EX_SOFTWARE  # 70: a bug of ours
CANNOT_CREATE = os.EX_CANTCREAT  # 73: a file cannot be made
TRY_AGAIN = os.EX_TEMPFAIL  # 75: another daemon works there, the disk is full …
NO_PERMISSION = os.EX_NOPERM  # 77
CONFIG = os.EX_CONFIG  # 78: the settings are wrong
INTERRUPTED = 130
TITLES = {
    USAGE: "Usage",
    DATA: "Wrong input",
    NO_INPUT: "Not found",
    UNAVAILABLE: "Unavailable",
    SOFTWARE: "A bug",
    CANNOT_CREATE: "Cannot be made",
    TRY_AGAIN: "Not now",
    NO_PERMISSION: "Not permitted",
    CONFIG: "Wrong settings",
}


class Failure(Exception):
    """Ends a command. The message says what, where and what to do next.

    `status` is what the daemon answered with, where it did.
    """

    def __init__(self, message: str, code: int, status: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.status = status

    def reworded(self, message: str) -> "Failure":
        """Return the same failure in other words."""
        return Failure(message, self.code, self.status)

    def problem(self) -> dict[str, object]:
        """Return it as problem details (RFC 9457), with the command's exit code.

        Several mistakes are also listed one by one in `errors`, each with its own remedy.
        """
        told: dict[str, object] = {"type": "about:blank", "title": TITLES.get(self.code, "Failed")}
        if self.status is not None:
            told["status"] = self.status
        mistakes = [_mistake(line) for line in str(self).splitlines()]
        if len(mistakes) > 1:
            several = {"detail": str(self), "remedy": "mend each of errors", "errors": mistakes}
            return told | several | {"exit_code": self.code}
        return told | _mistake(str(self)) | {"exit_code": self.code}


def _mistake(said: str) -> dict[str, str]:
    detail, _, remedy = said.partition("; ")
    return {"detail": detail, "remedy": remedy}
