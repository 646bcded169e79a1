"""What can go wrong with the ledger, named by what the caller may do about it."""


class LedgerError(Exception):
    """The ledger cannot be used. The message says what, where and what to do next."""


class NewerSchema(LedgerError):
    """A newer version of the program wrote this ledger: use that version."""


class CorruptLedger(LedgerError):
    """The file is damaged: stop, and let the operator restore or rebuild it."""


class LedgerFull(LedgerError):
    """The disk is full and nothing was recorded: stop, and start again when there is room."""


class LedgerDenied(LedgerError):
    """The system would not let it be read or written: stop, unless it is known why and passes."""


class LedgerBusy(LedgerError):
    """Another process holds the ledger."""


class LostLedger(LedgerError):
    """The ledger is no longer ours: stop at once, another life may be using it."""


class StaleTransition(Exception):
    """What was decided upon has changed since it was read: drop the decision and read again."""
