"""One stage at its desk: a real ledger, and around it what a test says."""

from tests.store.conftest import ledger, migrated, url

__all__ = ["ledger", "migrated", "url"]
