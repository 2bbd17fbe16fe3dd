"""Days of a time zone, out of days of UTC: nearly all of a zone's day lies in one of UTC; the hours that do not are few.

A day of UTC is taken for the zone's day that its noon is in, and the hours that belong to another one are moved there.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MOST_MOVED = 8  # hours of a day; beyond that it is less work to add up hours


def cuts_hours(start: datetime, end: datetime, zone: ZoneInfo) -> bool:
    """Whether the zone is at some time of a period not whole hours from UTC."""
    return any(_offset(day, zone) % HOUR for day in _days(start, end + DAY))


def moved_hours(start: datetime, end: datetime, zone: ZoneInfo) -> list[datetime]:
    """The hours of a period of whole UTC days that are not in the zone's day of their UTC day's noon."""
    found: list[datetime] = []
    for day in _days(start, end):
        noon = (day + 12 * HOUR).astimezone(zone).date()
        hours = (day + number * HOUR for number in range(24))
        found += [hour for hour in hours if hour.astimezone(zone).date() != noon]
    return found


def worth_moving(moment: datetime, zone: ZoneInfo) -> bool:
    """Whether few hours of a day have to be moved."""
    hours = _offset(moment, zone) // HOUR
    return min(hours % 24, -hours % 24) <= MOST_MOVED


def _days(start: datetime, end: datetime) -> Iterator[datetime]:
    while start < end:
        yield start
        start += DAY


def _offset(moment: datetime, zone: ZoneInfo) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta()
