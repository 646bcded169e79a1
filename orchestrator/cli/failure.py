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


class Failure(Exception):
    """Ends a command. The message says what, where and what to do next."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code
