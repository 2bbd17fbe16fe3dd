"""Periods come from the clock and the zone alone."""

from datetime import datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounting.limits.periods import ALL_TIME, PERIODS, TOTAL, Period, period_at, period_before, zone_of

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "America/Sao_Paulo"]


def at(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone_of(zone)).timestamp()


def shown(period: Period, zone: str) -> list[str]:
    moments = (datetime.fromtimestamp(each, zone_of(zone)) for each in (period.start, period.end))
    return [f"{moment:%Y-%m-%d %H:%M %z}" for moment in moments]


@pytest.mark.parametrize(
    ("kind", "moment", "zone", "fiscal", "begin", "end"),
    [
        ("day", "2026-11-25T13:00", "UTC", 1, "2026-11-25 00:00 +0000", "2026-11-26 00:00 +0000"),
        ("day", "2026-03-29T13:00", "Europe/Berlin", 1, "2026-03-29 00:00 +0100", "2026-03-30 00:00 +0200"),
        ("day", "2026-10-25T02:30", "Europe/Berlin", 1, "2026-10-25 00:00 +0200", "2026-10-26 00:00 +0100"),
        # There, clocks went forward at midnight: the day began at one.
        ("day", "2018-11-04T12:00", "America/Sao_Paulo", 1, "2018-11-04 01:00 -0200", "2018-11-05 00:00 -0200"),
        ("day", "2018-11-03T12:00", "America/Sao_Paulo", 1, "2018-11-03 00:00 -0300", "2018-11-04 01:00 -0200"),
        # And there a whole day was left out.
        ("day", "2011-12-29T12:00", "Pacific/Apia", 1, "2011-12-29 00:00 -1000", "2011-12-31 00:00 +1400"),
        ("week", "2026-11-29T23:59", "UTC", 1, "2026-11-23 00:00 +0000", "2026-11-30 00:00 +0000"),
        ("week", "2026-11-30T00:00", "Asia/Kathmandu", 1, "2026-11-30 00:00 +0545", "2026-12-07 00:00 +0545"),
        ("month", "2026-12-31T23:00", "UTC", 1, "2026-12-01 00:00 +0000", "2027-01-01 00:00 +0000"),
        ("month", "2028-02-29T12:00", "UTC", 1, "2028-02-01 00:00 +0000", "2028-03-01 00:00 +0000"),
        ("quarter", "2026-11-25T12:00", "UTC", 1, "2026-10-01 00:00 +0000", "2027-01-01 00:00 +0000"),
        ("quarter", "2026-01-15T12:00", "UTC", 2, "2025-11-01 00:00 +0000", "2026-02-01 00:00 +0000"),
        ("quarter", "2026-12-15T12:00", "UTC", 3, "2026-12-01 00:00 +0000", "2027-03-01 00:00 +0000"),
    ],
)
def test_a_period_begins_and_ends_at_local_midnight(
    kind: str, moment: str, zone: str, fiscal: int, begin: str, end: str
) -> None:
    assert shown(period_at(kind, at(moment, zone), zone, fiscal), zone) == [begin, end]


def test_a_total_has_no_end_and_nothing_before() -> None:
    assert period_at(TOTAL, 1e9, "UTC") == ALL_TIME
    assert period_before(TOTAL, ALL_TIME, "UTC") is None


@pytest.mark.parametrize("kind", ["year", "", "DAY"])
def test_an_unknown_period_is_refused(kind: str) -> None:
    with pytest.raises(ValueError, match="is not a period"):
        period_at(kind, 1e9, "UTC")


@given(
    st.sampled_from([kind for kind in PERIODS if kind != TOTAL]),
    st.integers(946_684_800, 2_208_988_800),
    st.sampled_from(ZONES),
    st.integers(1, 12),
)
def test_periods_follow_each_other_without_gap_or_overlap(kind: str, now: int, zone: str, fiscal: int) -> None:
    period = period_at(kind, now, zone, fiscal)
    assert period.holds(now)
    before = period_before(kind, period, zone, fiscal)
    after = period_at(kind, period.end, zone, fiscal)
    assert before is not None
    for one, next_ in pairwise([before, period, after]):
        assert one.end == next_.start
        assert period_at(kind, one.end - 1, zone, fiscal) == one
