"""The period that a page shows, out of its address: `?period=30d`, or `?period=custom&since=2026-11-01&until=2026-11-24`.

A day in the address is one of the reader's zone; `until` is the last day that counts.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.utils.translation import gettext_lazy as _

HOURS_24, DAYS_7, DAYS_30, DAYS_90, YEAR = "24h", "7d", "30d", "90d", "365d"
MONTH, LAST_MONTH, CUSTOM = "month", "last_month", "custom"
CHOICES: tuple[tuple[str, Any], ...] = (
    (HOURS_24, _("Last 24 hours")),
    (DAYS_7, _("Last 7 days")),
    (DAYS_30, _("Last 30 days")),
    (DAYS_90, _("Last 90 days")),
    (MONTH, _("This month")),
    (LAST_MONTH, _("Last month")),
    (YEAR, _("Last 365 days")),
)
_DAYS = {DAYS_7: 7, DAYS_30: 30, DAYS_90: 90, YEAR: 365}
LONGEST = timedelta(days=3660)


@dataclass(frozen=True, slots=True)
class Period:
    """From `since` to before `until`, both aware. `problem` says what could not be read of the address, in which case this is
    the default; `first_day` and `last_day` are what a form of days shows."""

    name: str
    since: datetime
    until: datetime
    zone: ZoneInfo
    problem: Any = ""

    @property
    def label(self) -> Any:
        return dict(CHOICES).get(self.name, _("Chosen days"))

    @property
    def length(self) -> timedelta:
        return self.until - self.since

    @property
    def first_day(self) -> date:
        return self.since.astimezone(self.zone).date()

    @property
    def last_day(self) -> date:
        return (self.until - timedelta(microseconds=1)).astimezone(self.zone).date()

    @property
    def before(self) -> "Period":
        """As long a time that ended when this one begins, to compare with."""
        return Period(CUSTOM, self.since - self.length, self.since, self.zone)

    @property
    def query(self) -> dict[str, str]:
        """As parameters of an address."""
        if self.name != CUSTOM:
            return {"period": self.name}
        return {"period": CUSTOM, "since": self.first_day.isoformat(), "until": self.last_day.isoformat()}


def read_period(query: Mapping[str, Any], zone: ZoneInfo, now: datetime, *, default: str = DAYS_30) -> Period:
    """What the address asks for; the default, with a `problem`, where that cannot be read."""
    name = str(query.get("period", default))
    if name == CUSTOM:
        try:
            return _custom(str(query.get("since", "")), str(query.get("until", "")), zone)
        except ValueError as error:
            return _named(default, zone, now, problem=str(error))
    if name not in dict(CHOICES):
        return _named(default, zone, now, problem=_("There is no such period; this is the usual one."))
    return _named(name, zone, now)


def _custom(first: str, last: str, zone: ZoneInfo) -> Period:
    try:
        since, until = date.fromisoformat(first), date.fromisoformat(last)
        begin, end = beginning_of(since, zone), beginning_of(until + timedelta(days=1), zone)
    except (ValueError, OverflowError):
        raise ValueError(str(_("Give the first and the last day as year-month-day."))) from None
    if until < since:
        raise ValueError(str(_("The last day is before the first.")))
    if end - begin > LONGEST:
        raise ValueError(str(_("At most ten years.")))
    return Period(CUSTOM, begin, end, zone)


def _named(name: str, zone: ZoneInfo, now: datetime, *, problem: Any = "") -> Period:
    today = now.astimezone(zone).date()
    tomorrow = beginning_of(today + timedelta(days=1), zone)
    if name == HOURS_24:
        hour = now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
        return Period(name, hour - timedelta(hours=24), hour, zone, problem)
    this_month = today.replace(day=1)
    if name == MONTH:
        return Period(name, beginning_of(this_month, zone), tomorrow, zone, problem)
    if name == LAST_MONTH:
        last = (this_month - timedelta(days=1)).replace(day=1)
        return Period(name, beginning_of(last, zone), beginning_of(this_month, zone), zone, problem)
    first = today - timedelta(days=_DAYS[name] - 1)
    return Period(name, beginning_of(first, zone), tomorrow, zone, problem)


def beginning_of(day: date, zone: ZoneInfo) -> datetime:
    """When a day begins in a zone, as UTC."""
    return datetime.combine(day, time(), zone).astimezone(UTC)
