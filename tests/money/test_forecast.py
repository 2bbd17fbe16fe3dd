"""What a period will have cost, and what caching saved: by hand, and only where there is enough to know."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from accounting.money.forecast import Daily, forecast
from accounting.money.price_book import PriceBook, PriceRow, Rates
from accounting.money.savings import Cached, saved

TODAY = date(2026, 11, 25)  # a Wednesday
NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


def weeks(days: int) -> Daily:
    """Seven dollars on each working day before today, one on each day of a weekend."""
    found = [TODAY - timedelta(days=number) for number in range(1, days + 1)]
    return Daily({day: Decimal(1 if day.weekday() > 4 else 7) for day in found})


def test_each_day_that_is_left_costs_what_its_weekday_usually_does() -> None:
    # half of Wednesday, Thursday, Friday, Saturday, Sunday, Monday
    expected = Decimal(100) + Decimal("3.5") + 7 + 7 + 1 + 1 + 7
    assert forecast(weeks(28), Decimal(100), NOON, date(2026, 11, 30)) == expected


def test_a_week_is_enough_and_six_days_are_not() -> None:
    assert forecast(weeks(7), Decimal(0), NOON, TODAY) == Decimal("3.5")
    assert forecast(weeks(6), Decimal(0), NOON, TODAY) is None
    assert forecast(Daily({}), Decimal(5), NOON, TODAY) is None


def test_what_is_longer_ago_than_four_weeks_does_not_count() -> None:
    old = Daily({TODAY - timedelta(days=number): Decimal(1000) for number in range(29, 60)})
    assert forecast(old, Decimal(0), NOON, TODAY) is None


def test_days_without_requests_count_as_nothing() -> None:
    used = Daily({TODAY - timedelta(days=14): Decimal(8)})  # one of two Wednesdays
    assert forecast(used, Decimal(0), NOON, TODAY) == Decimal(2)


def test_a_period_that_is_over_has_no_forecast() -> None:
    assert forecast(weeks(28), Decimal(3), NOON, TODAY - timedelta(days=1)) is None


def test_the_day_when_clocks_go_back_has_25_hours() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    sunday = datetime(2026, 10, 25, 12, tzinfo=berlin)  # 13 hours are gone, 12 are left
    used = Daily({sunday.date() - timedelta(days=number): Decimal(25) for number in range(1, 15)})
    assert forecast(used, Decimal(0), sunday, sunday.date()) == Decimal(12)


def rates(read: str, write: str, write_1h: str) -> Rates:
    return Rates(Decimal(3), Decimal(15), Decimal(write), Decimal(write_1h), Decimal(read))


BOOK = PriceBook(
    rows=[
        PriceRow(1, "*", "claude-a", datetime(2026, 1, 1, tzinfo=UTC), rates("0.3", "3.75", "6")),
        PriceRow(2, "*", "claude-a", datetime(2026, 11, 1, tzinfo=UTC), rates("1", "3", "3")),
    ]
)
MILLION = 10**6


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (Cached("main", "claude-a", date(2026, 10, 31), MILLION, 0, 0), "2.7"),
        (Cached("main", "claude-a", date(2026, 11, 1), MILLION, 0, 0), "2"),  # the price of the day
        (Cached("main", "claude-a", date(2026, 10, 1), 0, MILLION, 0), "-0.75"),
        (Cached("main", "claude-a", date(2026, 10, 1), MILLION, 2 * MILLION, MILLION), "-1.8"),
        (Cached("main", "unpriced", date(2026, 10, 1), MILLION, 0, 0), "0"),
    ],
)
def test_caching_saves_reads_and_costs_the_surcharge_of_writes(row: Cached, expected: str) -> None:
    assert saved([row], BOOK) == Decimal(expected)
