"""How commands read moments."""

from argparse import ArgumentTypeError
from datetime import UTC, datetime


def a_moment(text: str) -> datetime:
    """A day or a moment of ISO 8601; UTC if it names no zone."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a day or a moment such as 2026-11-01T12:00:00Z") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
