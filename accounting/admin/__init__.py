"""Accounting in the console: people, keys, prices, history. One file for each group of nouns."""

from accounting.admin import keys, ledger, limits, people, prices, records, teams, users

__all__ = ["keys", "ledger", "limits", "people", "prices", "records", "teams", "users"]
