"""Reads of request records: a list of them, one of them with all that belongs to it, and sessions made of them. Whose records
may be read has been decided before: every function takes records that are narrowed already."""
