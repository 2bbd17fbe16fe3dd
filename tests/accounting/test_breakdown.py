"""Breakdowns, outcomes, times to the first byte, names: what one gets by adding up the entries by hand, in both databases."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounting.audit.changes import Actor
from accounting.money.bars import MOST_BARS, SCALES, Scale, bars, scales, usual_scale
from accounting.money.breakdown import break_down
from accounting.money.entry import Entry
from accounting.money.first_bytes import LONGEST, FirstBytes
from accounting.money.outcomes import outcomes
from accounting.money.question import BadQuestion, Question
from accounting.money.reports import Ranking, each_usage, largest, usage
from accounting.money.rerate import Reprice, Repriced, Scope, rerate
from accounting.money.seen import ever_used, seen
from accounting.money.store import store_records
from tests.accounting.ledgers import START, day_of_requests, entry, line

SINCE, UNTIL = START.replace(minute=0), START.replace(minute=0) + timedelta(hours=40)
BERLIN = ZoneInfo("Europe/Berlin")
ENTRIES = day_of_requests(Random(11), 150)


def at(each: Entry) -> datetime:
    return datetime.fromtimestamp(each.started_at, UTC)


class TestBreakdown:
    @pytest.fixture(autouse=True)
    def stored(self, any_database: str) -> None:
        store_records(ENTRIES)

    def test_rows_and_bars_add_up_to_the_last_digit(self) -> None:
        for by in (("user",), ("project", "key"), ("tag:cost_center",), ("model",), ()):
            for scale in SCALES:
                self.add_up(by, scale)

    def add_up(self, by: tuple[str, ...], scale: Scale) -> None:
        question = Question(since=SINCE, until=UNTIL, zone="Europe/Berlin")
        shown = bars(SINCE, UNTIL, scale, BERLIN)
        found = break_down(question, by, shown, scale, measures=("cost_usd", "requests", "tokens"), most=1)
        assert found.total.sums.cost_usd == sum(each.cost_usd for each in ENTRIES)
        assert found.total.sums.requests == len(ENTRIES)
        rows = [*found.groups, *([found.rest] if found.rest else [])]
        if by:
            assert sum(row.sums.cost_usd for row in rows) == found.total.sums.cost_usd
            assert sum(row.sums.tokens for row in rows) == sum(
                part.tokens_input + part.tokens_output + part.tokens_cache_read + part.tokens_cache_write_5m
                + part.tokens_cache_write_1h for each in ENTRIES for part in each.lines
            )  # fmt: skip
            _, groups = usage(Question(by, SINCE, UNTIL))
            assert (len(found.groups), found.others) == (1, groups - 1)
        for place, bar in enumerate(shown):
            here = [each for each in ENTRIES if _of(each, scale) == bar.key]
            assert found.total.bars["requests"][place] == len(here)
            assert found.total.bars["cost_usd"][place] == sum(each.cost_usd for each in here)
            if by:
                assert sum(row.bars["cost_usd"][place] for row in rows) == found.total.bars["cost_usd"][place]
        assert sum(found.total.bars["tokens"]) == found.total.sums.tokens
        for row in rows:
            assert sum(row.bars["tokens"]) == row.sums.tokens

    def test_the_groups_are_those_with_the_most_and_have_their_own_sums(self) -> None:
        question = Question(since=SINCE, until=UNTIL)
        found = break_down(
            question,
            ("project", "key"),
            bars(SINCE, UNTIL, "day", ZoneInfo("UTC")),
            "day",
            measures=("requests",),
            most=3,
        )
        counted = Counter((each.project, each.key) for each in ENTRIES)
        most = sorted(counted, key=lambda names: (-counted[names], names))[:3]
        assert [group.values for group in found.groups] == most
        assert [group.sums.requests for group in found.groups] == [counted[names] for names in most]
        assert found.rest is not None
        assert found.rest.sums.requests == len(ENTRIES) - sum(counted[names] for names in most)

    def test_several_rankings_in_one_query_are_those_of_each_alone(self) -> None:
        asked = [
            Ranking(Question(("project", "key"), SINCE, UNTIL), "cost_usd", 3),
            Ranking(Question((), SINCE, SINCE + timedelta(hours=9, minutes=5)), "", 1),
            Ranking(Question(("tag:cost_center",), SINCE, UNTIL, (("team", "alpha"),)), "requests", 50),
            Ranking(Question(("team",), UNTIL, UNTIL + timedelta(hours=1)), "tokens", 2),
        ]
        with CaptureQueriesContext(connection) as asking:
            together = largest(*asked)
        assert sum("WITH answer" in query["sql"] for query in asking.captured_queries) == 1
        assert together == [largest(each)[0] for each in asked]
        for found, (question, _order, _limit) in zip(together, asked, strict=True):
            rows, count = usage(question)
            assert found.count == count
            assert found.total.sums["requests"] == sum(row.sums["requests"] for row in rows)
            assert all(row in rows for row in found.rows)
        assert [len(found.rows) for found in together][1] == 1

    def test_outcomes_are_those_of_the_records(self) -> None:
        cut = (SINCE + timedelta(hours=3, minutes=7), UNTIL - timedelta(hours=4, minutes=11))
        for since, until in ((SINCE, UNTIL), cut, (None, None), (UNTIL, SINCE)):
            for team in ("alpha", "nobody"):
                expected = Counter(
                    (each.outcome, each.reason)
                    for each in ENTRIES
                    if each.team == team and each.outcome != "served"
                    and (since is None or since <= at(each)) and (until is None or at(each) < until)
                )  # fmt: skip
                rows = outcomes(Question(since=since, until=until, names=(("team", team),)))
                assert {(row.outcome, row.reason): row.requests for row in rows} == expected
        by_team = outcomes(Question(("team",), SINCE, UNTIL))
        assert Counter({row.group[0]: 0 for row in by_team}).keys() == {each.team for each in ENTRIES}
        refused = [row.requests for row in outcomes(Question()) if row.outcome == "refused"]
        assert refused == sorted(refused, reverse=True)

    def test_percentiles_are_within_the_bucket_of_the_true_one(self) -> None:
        for group_by in ((), ("team",), ("model", "day")):
            question = Question(group_by, SINCE, UNTIL, zone="Europe/Berlin")
            for row in each_usage(question, timed=True):
                names = dict(zip(group_by, row.group, strict=True))
                times = sorted(
                    each.ttft_ms
                    for each in ENTRIES
                    if each.ttft_ms is not None
                    and names.get("team", each.team) == each.team
                    and names.get("model", each.upstream_model) == each.upstream_model
                    and names.get("day", at(each).astimezone(BERLIN).date()) == at(each).astimezone(BERLIN).date()
                )
                assert row.first_bytes.count == len(times)
                for percent in (50, 95):
                    found = row.first_bytes.percentile(percent)
                    if not times:
                        assert found is None
                        continue
                    true = times[max(0, -(-len(times) * percent // 100) - 1)]
                    edges = [0, 100, 200, 400, 700, 1000, 1500, 2500, 5000, 10_000, 20_000, 60_000, 10**9]
                    low, high = next((low, high) for low, high in pairwise(edges) if low < true <= high)
                    assert found is not None
                    assert low <= found <= high

    def test_names_that_were_seen(self) -> None:
        own = [each for each in ENTRIES if each.team == "alpha"]
        found = seen("alpha")
        assert found.project == tuple(sorted({each.project for each in own}))
        assert found.key == tuple(sorted({each.key for each in own}))
        assert found.tags == tuple(sorted({name for each in own for name in each.tags}))
        assert found.model == tuple(sorted({part.model for each in own for part in each.lines}))
        assert seen("nobody") == type(found)()
        assert "cost_center" in seen("").tags
        assert ever_used("alpha")
        assert not ever_used("nobody")


def _of(each: Entry, scale: str) -> date | datetime:
    if scale == "hour":
        return at(each).replace(minute=0, second=0, microsecond=0)
    day = at(each).astimezone(BERLIN).date()
    return {"day": day, "week": day - timedelta(days=day.weekday()), "month": day.replace(day=1)}[scale]


def test_a_key_of_the_same_name_in_another_project_is_another_one(any_database: str) -> None:
    used = [("one", 3), ("two", 2), ("three", 1)]
    store_records(
        [
            entry(f"{project}{number}", line(0, tokens_input=10), project=project, key="ci")
            for project, count in used
            for number in range(count)
        ]
    )
    shown = bars(SINCE, UNTIL, "day", ZoneInfo("UTC"))
    found = break_down(
        Question(since=SINCE, until=UNTIL), ("project", "key"), shown, "day", measures=("requests",), most=1
    )
    assert [(group.values, group.sums.requests) for group in found.groups] == [(("one", "ci"), 3)]
    assert found.rest is not None
    assert (found.rest.sums.requests, found.others) == (3, 2)


@pytest.mark.parametrize("asked", [{"group_by": ("key",)}, {"names": (("user", "x"),)}, {"tags": (("a", "b"),)}])
def test_reasons_by_names_that_have_none_are_refused(asked: dict[str, Any]) -> None:
    with pytest.raises(BadQuestion, match="Reasons are kept by"):
        outcomes(Question(**asked))


def test_adjustments_are_in_rows_and_bars(any_database: str) -> None:
    store_records([entry("x", line(0, cost_usd=Decimal(2))), entry("y", line(0, cost_usd=Decimal(1)), team="beta")])
    twice: Reprice = lambda line: Repriced(line.cost_usd * 2, {"id": 8})  # noqa: E731
    rerate(Actor("ada@example.org", "user"), Scope(SINCE, UNTIL), twice, reason="contract", now=UNTIL)
    shown = bars(SINCE, UNTIL, "week", BERLIN)
    question = Question(since=SINCE, until=UNTIL, zone="Europe/Berlin")
    found = break_down(question, ("team",), shown, "week", measures=("cost_usd",), most=1)
    assert found.rest is not None
    assert [found.groups[0].sums.cost_usd, found.rest.sums.cost_usd, found.total.sums.cost_usd] == [4, 2, 6]
    assert [sum(each.bars["cost_usd"]) for each in (found.groups[0], found.rest, found.total)] == [4, 2, 6]


class TestFirstBytes:
    def test_percentiles_are_interpolated_within_their_bucket(self) -> None:
        found = FirstBytes(10, 3_000_000, (0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0))
        assert (found.percentile(50), found.percentile(100), found.mean) == (150, 200, 300)

    def test_above_the_last_bound_it_is_the_last_bound(self) -> None:
        assert FirstBytes(4, 0, (1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)).percentile(95) == LONGEST

    def test_without_answers_there_is_none(self) -> None:
        assert FirstBytes().percentile(50) is FirstBytes().mean is None


class TestBars:
    @pytest.mark.parametrize("days", [1, 2, 7, 30, 92, 365, 3660])
    def test_there_are_never_too_many_and_they_cover_the_period(self, days: int) -> None:
        since = datetime(2025, 12, 31, 23, tzinfo=UTC)
        until = since + timedelta(days=days)
        assert usual_scale(since, until) in scales(since, until)
        for scale in scales(since, until):
            shown = bars(since, until, scale, BERLIN)
            assert 0 < len(shown) <= MOST_BARS
            assert shown[0].first_day == since.astimezone(BERLIN).date()
            assert shown[-1].last_day == (until - timedelta(seconds=1)).astimezone(BERLIN).date()
            if scale != "hour":
                for before, after in pairwise(shown):
                    assert after.first_day == before.last_day + timedelta(days=1)

    def test_a_day_of_25_hours_has_25_bars(self) -> None:
        since = datetime(2026, 10, 24, 22, tzinfo=UTC)
        assert len(bars(since, since + timedelta(hours=25), "hour", BERLIN)) == 25
        assert len(bars(since, since + timedelta(hours=25), "day", BERLIN)) == 1
        assert bars(since, since, "day", BERLIN) == []


def test_money_of_a_breakdown_is_decimal(any_database: str) -> None:
    store_records([entry("x", line(0, cost_usd=Decimal("0.000000000001")))])
    found = break_down(
        Question(since=SINCE, until=UNTIL),
        ("team",),
        bars(SINCE, UNTIL, "week", BERLIN),
        "week",
        measures=("cost_usd", "requests", "tokens"),
        most=9,
    )
    assert found.total.sums.cost_usd == Decimal("0.000000000001")
    assert found.rest is None
