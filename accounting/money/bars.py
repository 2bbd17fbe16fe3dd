"""The hours, days, weeks or months that a period is shown in. Pure.

An hour is one of UTC, a day, a week (from Monday) and a month are the zone's. The first and the last may be cut by the period.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from accounting.money.local_days import DAY, HOUR

Scale = Literal["hour", "day", "week", "month"]
SCALES: tuple[Scale, ...] = ("hour", "day", "week", "month")
MOST_BARS = 124  # ten years of months and some
_USUAL = 95  # bars; a quarter by day
_LENGTHS = {"hour": HOUR, "day": DAY, "week": timedelta(days=7), "month": timedelta(days=30)}


@dataclass(frozen=True, slots=True)
class Bar:
    """What it is called where usage is grouped by time, and its first and last day."""

    key: date | datetime
    first_day: date
    last_day: date


def scales(since: datetime, until: datetime) -> tuple[Scale, ...]:
    """Those in which a period has no more than `MOST_BARS`, the shortest first; one at least."""
    fitting = tuple(scale for scale in SCALES if (until - since) / _LENGTHS[scale] <= MOST_BARS - 2)
    return fitting or ("month",)


def usual_scale(since: datetime, until: datetime) -> Scale:
    """Hours for two days, days for a quarter, then weeks or months."""
    if until - since <= timedelta(days=2, hours=1):
        return "hour"
    for scale in SCALES[1:]:
        if (until - since) / _LENGTHS[scale] <= _USUAL:
            return scale
    return "month"


def bars(since: datetime, until: datetime, scale: Scale, zone: ZoneInfo) -> list[Bar]:
    """All of a period's, empty ones too."""
    if since >= until:
        return []
    if scale == "hour":
        return [_hour(start, zone) for start in _hours(since, until)]
    first, last = since.astimezone(zone).date(), (until - timedelta(microseconds=1)).astimezone(zone).date()
    return [
        Bar(key, max(first, key), min(last, following_date(key, scale) - DAY)) for key in _dates(first, last, scale)
    ]


def beginning_date(day: date, scale: Scale) -> date:
    if scale == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if scale == "month" else day


def following_date(key: date, scale: Scale) -> date:
    if scale == "month":
        return (key + timedelta(days=32)).replace(day=1)
    return key + timedelta(days=7 if scale == "week" else 1)


def _hours(since: datetime, until: datetime) -> Iterator[datetime]:
    start = since.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    while start < until:
        yield start
        start += HOUR


def _hour(start: datetime, zone: ZoneInfo) -> Bar:
    day = start.astimezone(zone).date()
    return Bar(start, day, day)


def _dates(first: date, last: date, scale: Scale) -> Iterator[date]:
    key = beginning_date(first, scale)
    while key <= last:
        yield key
        key = following_date(key, scale)
