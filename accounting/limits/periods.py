"""Periods of budgets, derived from the clock: which one a moment is in, and when the next one begins. No I/O, no job.

Days, weeks (from Monday), months and quarters begin at midnight of the scope's time zone, whatever its clocks do that night.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DAY, WEEK, MONTH, QUARTER, TOTAL = "day", "week", "month", "quarter", "total"
PERIODS = (DAY, WEEK, MONTH, QUARTER, TOTAL)
NEVER = 0  # the end of a period that has none
_DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Period:
    """Whole Unix seconds, the end not included. The period `total` is (0, NEVER)."""

    start: int
    end: int

    def holds(self, now: float) -> bool:
        return self.start <= now and (self.end == NEVER or now < self.end)


ALL_TIME = Period(0, NEVER)


def period_at(kind: str, now: float, zone: str, fiscal_start_month: int = 1) -> Period:
    """The period of this kind that `now` (a Unix time) is in. Raises ValueError for a kind that does not exist."""
    if kind == TOTAL:
        return ALL_TIME
    local = datetime.fromtimestamp(now, UTC).astimezone(zone_of(zone))
    year, month, day = _first_day(kind, local, fiscal_start_month)
    return Period(_midnight(year, month, day, zone), _midnight(*_next_first_day(kind, year, month, day), zone))


def period_before(kind: str, period: Period, zone: str, fiscal_start_month: int = 1) -> Period | None:
    """The period before this one; None for `total`."""
    return None if kind == TOTAL else period_at(kind, period.start - 1, zone, fiscal_start_month)


@lru_cache(maxsize=1024)
def zone_of(name: str) -> ZoneInfo:
    """The time zone of this name; UTC for one that this machine does not know."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


def _first_day(kind: str, local: datetime, fiscal_start_month: int) -> tuple[int, int, int]:
    if kind == DAY:
        return local.year, local.month, local.day
    if kind == WEEK:
        monday = local.date() - timedelta(days=local.weekday())
        return monday.year, monday.month, monday.day
    if kind == MONTH:
        return local.year, local.month, 1
    if kind == QUARTER:
        back = (local.month - fiscal_start_month) % 3
        return _month(local.year, local.month - back)
    raise ValueError(f"{kind!r} is not a period; choose one of {', '.join(PERIODS)}.")


def _next_first_day(kind: str, year: int, month: int, day: int) -> tuple[int, int, int]:
    if kind in (DAY, WEEK):
        after = datetime(year, month, day, tzinfo=UTC) + timedelta(days=1 if kind == DAY else 7)
        return after.year, after.month, after.day
    return _month(year, month + (1 if kind == MONTH else 3))


def _month(year: int, month: int) -> tuple[int, int, int]:
    """The first of a month whose number may lie outside 1 to 12."""
    return year + (month - 1) // 12, (month - 1) % 12 + 1, 1


def _midnight(year: int, month: int, day: int, zone: str) -> int:
    """The first moment of a local day; where clocks skip midnight (or the whole day), the moment of the skip."""
    local = zone_of(zone)
    midnight = datetime(year, month, day, tzinfo=local)
    begin = int(midnight.timestamp())
    if datetime.fromtimestamp(begin, local).replace(tzinfo=None) == midnight.replace(tzinfo=None):
        return begin
    low, high = begin - 2 * _DAY_SECONDS, begin + 2 * _DAY_SECONDS
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if datetime.fromtimestamp(middle, local).date() < midnight.date() else (low, middle)
    return high
