"""Accounting in the console: people, keys, history. One file for each group of nouns."""

from accounting.admin import keys, ledger, people, records, users

__all__ = ["keys", "ledger", "people", "records", "users"]
