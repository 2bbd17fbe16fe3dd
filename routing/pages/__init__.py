"""Routing's pages for people who are not in the console."""
