"""What a period will have cost at its end, if it goes on like the last four weeks. Pure.

To what was spent so far comes, for each day that is left, the average of that weekday in the last four weeks; for the rest of
today the same, by the share of the day that is left. Before there is a whole week to learn from, there is no forecast.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal

from accounting.money.local_days import DAY

LEARNT = 28  # days before today
LEAST = 7


@dataclass(frozen=True, slots=True)
class Daily:
    """What was spent on days of a zone; a day that is missing had no request at all."""

    spent: Mapping[date, Decimal]

    def since(self, today: date) -> date | None:
        """The first day that is learnt from; None if there was nothing in those weeks."""
        days = [day for day in self.spent if today - timedelta(days=LEARNT) <= day < today]
        return min(days, default=None)


def forecast(daily: Daily, so_far: Decimal, now: datetime, last_day: date) -> Decimal | None:
    """Dollars at the end of `last_day`, a day of the zone of `now`; None as long as there is not enough to learn from."""
    today = now.date()
    first = daily.since(today)
    if first is None or (today - first).days < LEAST or last_day < today:
        return None
    expected = so_far + _average(daily, first, today, today.weekday()) * _left_of_today(now)
    day = today + DAY
    while day <= last_day:
        expected += _average(daily, first, today, day.weekday())
        day += DAY
    return expected


def _average(daily: Daily, first: date, today: date, weekday: int) -> Decimal:
    days = [first + timedelta(days=number) for number in range((today - first).days)]
    same = [daily.spent.get(day, Decimal(0)) for day in days if day.weekday() == weekday]
    return sum(same, Decimal(0)) / len(same)


def _left_of_today(now: datetime) -> Decimal:
    """From 1 in the morning of a day to 0 at its end; days of 23 and 25 hours included."""
    begin = datetime.combine(now.date(), time(), now.tzinfo)
    end = datetime.combine(now.date() + DAY, time(), now.tzinfo)
    seconds = end.timestamp() - begin.timestamp()
    return Decimal(round(end.timestamp() - now.timestamp())) / Decimal(round(seconds))
