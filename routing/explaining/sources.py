"""Where an explanation gets its figures: from the gateway that runs in this process, else from the database.

A command and a page of another process know the configuration exactly, and health as the running processes last wrote it.
"""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from accounting.access.directory import Directory, load_directory
from accounting.access.grant import Grant
from routing.explaining.decision import Sources
from routing.explaining.limits import limits_of
from routing.health_view import recorded_health
from routing.proxy.runtime import running
from routing.snapshot import load_snapshot


class NoSuchKey(Exception):
    """No key of this gateway begins so, or more than one does; the text says which."""


def grants_of(prefix: str, directory: Directory) -> list[Grant]:
    """The callers whose key has this prefix, those that may come in first."""
    found = [grant for grant in directory.grants.values() if grant.key_prefix == prefix]
    return sorted(found, key=lambda grant: bool(grant.refusal))


def grant_of(prefix: str, directory: Directory) -> Grant:
    """The one caller with this prefix. Raises `NoSuchKey`."""
    found = grants_of(prefix, directory)
    usable = [grant for grant in found if not grant.refusal]
    if not found:
        raise NoSuchKey(f"No key has the prefix {prefix!r}.")
    if len(usable or found) > 1:
        raise NoSuchKey(f"{len(usable or found)} keys have the prefix {prefix!r}; it does not say which.")
    return (usable or found)[0]
