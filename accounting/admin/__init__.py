"""Accounting in the console: people, keys, prices, history. One file for each group of nouns."""

from accounting.admin import alerts, keys, ledger, limits, people, prices, records, teams, users

__all__ = ["alerts", "keys", "ledger", "limits", "people", "prices", "records", "teams", "users"]
