"""Versions of the routing configuration: pictures of it, what differs between two, going back, proposing, scheduling.

`picture` and `difference` are values and pure functions; `keeping` writes a version with every change; `applying` makes
the configuration what a picture says; `rollback` and `proposals` are built on these; `fleet` is what processes serve.
"""
