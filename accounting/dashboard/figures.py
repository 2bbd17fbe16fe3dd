"""The figures of a team's period, for its overview: two queries, one more for the prices of what caching saved."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from accounting.money.breakdown import NOTHING, Sums
from accounting.money.first_bytes import NOTHING as NO_TIMES
from accounting.money.first_bytes import FirstBytes
from accounting.money.forecast import LEARNT, Daily, forecast
from accounting.money.price_store import priced_models
from accounting.money.question import Question
from accounting.money.reports import each_usage
from accounting.money.savings import Cached, saved
from gateway_project.dashboard.periods import HOURS_24, MONTH, Period, beginning_of

BY_DAYS = timedelta(days=100)  # a longer period is valued by months
MOST_MODELS = 5


@dataclass(frozen=True, slots=True)
class Figures:
    """`before` are the sums of as long a time that ended when the period began; `today` those of today; `saved` what caching
    saved, about; `forecast` is None where there is nothing to expect or too little to learn from."""

    sums: Sums
    first_bytes: FirstBytes
    before: Sums
    today: Sums
    saved: Decimal
    forecast: Decimal | None
    forecast_day: date
    daily: Daily
    models: tuple[tuple[str, Sums], ...]

    @property
    def error_share(self) -> float | None:
        return self.sums.errors / self.sums.requests if self.sums.requests else None

    @property
    def change(self) -> float | None:
        """How much more was spent than before, as a share of that; None if there was nothing before."""
        return float(self.sums.cost_usd / self.before.cost_usd) - 1 if self.before.cost_usd else None

    @property
    def median(self) -> float | None:
        return self.first_bytes.percentile(50)

    @property
    def p95(self) -> float | None:
        return self.first_bytes.percentile(95)


def read_figures(question: Question, period: Period, now: datetime, before: Sums | None = None) -> Figures:
    """`question` is about the period, and groups by nothing. `before` is for periods that are no whole days."""
    unit = "day" if period.length <= BY_DAYS else "month"
    models: dict[str, Sums] = defaultdict(lambda: NOTHING)
    cached: list[Cached] = []
    times = NO_TIMES
    for row in each_usage(replace(question, group_by=("provider", "model", unit), zone="UTC"), timed=True):
        provider, model, day = row.group
        sums = Sums.of(row)
        models[str(model)] += sums
        times += row.first_bytes
        assert isinstance(day, date)
        cached.append(Cached(str(provider), str(model), day, sums.cache_read, sums.cache_write_5m, sums.cache_write_1h))
    written = any(each.read or each.written_5m or each.written_1h for each in cached)
    whole = sum(models.values(), NOTHING)
    days = _days(question, period, now)
    daily = Daily({day: sums.cost_usd for day, sums in days.items()})
    last_day = _last_day(period, now)
    here = now.astimezone(period.zone)
    return Figures(
        sums=whole,
        first_bytes=times,
        before=_before(period, days) if before is None else before,
        today=days.get(here.date(), NOTHING),
        saved=saved(cached, priced_models()) if written else Decimal(0),
        forecast=forecast(daily, whole.cost_usd, here, last_day) if last_day > here.date() else None,
        forecast_day=last_day,
        daily=daily,
        models=_largest(models),
    )


def _largest(models: Mapping[str, Sums]) -> tuple[tuple[str, Sums], ...]:
    ranked = sorted(models.items(), key=lambda each: (-each[1].cost_usd, -each[1].requests, each[0]))
    return tuple(each for each in ranked if each[0])[:MOST_MODELS]


def _days(question: Question, period: Period, now: datetime) -> dict[date, Sums]:
    """The sums of each day, from the beginning of the time before or four weeks ago, to the end of today."""
    today = now.astimezone(period.zone).date()
    first = today - timedelta(days=LEARNT)
    if period.name != HOURS_24:
        first = min(first, period.first_day - _length(period))
    since = beginning_of(first, period.zone)
    until = max(beginning_of(today + timedelta(days=1), period.zone), period.since)
    rows = each_usage(replace(question, group_by=("day",), since=since, until=until))
    return {row.group[0]: Sums.of(row) for row in rows if isinstance(row.group[0], date)}


def _before(period: Period, days: dict[date, Sums]) -> Sums:
    first = period.first_day - _length(period)
    return sum((sums for day, sums in days.items() if first <= day < period.first_day), NOTHING)


def _length(period: Period) -> timedelta:
    """In whole days of its zone."""
    return period.last_day - period.first_day + timedelta(days=1)


def _last_day(period: Period, now: datetime) -> date:
    """The day at whose end the period is over: "this month" ends with the month."""
    if period.name != MONTH:
        return period.last_day if now < period.until else date.min
    today = now.astimezone(period.zone or UTC).date()
    return (today.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)
