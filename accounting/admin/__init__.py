"""Accounting in the console: people, keys, history. One file for each group of nouns."""

from accounting.admin import keys, limits, people, records, users

__all__ = ["keys", "limits", "people", "records", "users"]
