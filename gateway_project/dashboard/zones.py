"""Time zones as forms offer them."""

from functools import lru_cache
from typing import Any
from zoneinfo import available_timezones


@lru_cache(maxsize=1)
def zones() -> tuple[str, ...]:
    """The names of time zones that people choose from."""
    return ("UTC", *sorted(name for name in available_timezones() if "/" in name and not name.startswith("Etc/")))


def zone_choices(current: str, empty: Any = None) -> list[tuple[str, Any]]:
    """All zones, and the one that is set though it is not among them."""
    names = zones() if not current or current in zones() else (current, *zones())
    return [*([("", empty)] if empty is not None else []), *((name, name.replace("_", " ")) for name in names)]
