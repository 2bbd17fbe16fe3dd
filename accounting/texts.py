"""How the API writes values that JSON and CSV have no type for."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from accounting.models.money import PLACES


def plain(value: Any) -> str:
    """Money with its twelve places, a moment of UTC with a Z, anything else as it is."""
    if isinstance(value, Decimal):
        return f"{value:.{PLACES}f}"
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return str(value)
