"""Usage by any names and times is what one gets by adding up records and lines by hand, wherever a period begins and ends."""

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import combinations, pairwise
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from accounting.access.patterns import matches
from accounting.money.entry import Entry
from accounting.money.periods import Stretch, ceiling, floor, following, stretches
from accounting.money.reports import FIGURES, GROUPS, BadQuestion, Question, each_usage, total_costs, usage
from accounting.money.spending import spent
from accounting.money.store import store_records
from tests.accounting.ledgers import START, day_of_requests, entry, line

SINCE, UNTIL = START, START + timedelta(hours=36)


def by_hand(entries: list[Entry], question: Question) -> dict[tuple[Any, ...], dict[str, Any]]:
    """The same, from the entries themselves."""
    rows: dict[tuple[Any, ...], dict[str, Any]] = defaultdict(
        lambda: dict.fromkeys(FIGURES, 0) | {"cost_usd": Decimal(0)}
    )
    for each in entries:
        own = _values(each, each.provider, each.upstream_model, question.zone)
        if _asked(own, each, question):
            row = rows[tuple(own[name] for name in question.group_by)]
            row["requests"] += 1
            row["errors"] += each.outcome in ("upstream_error", "shut_down")
            row["refused"] += each.outcome == "refused"
            row["estimated"] += each.estimated
        for part in each.lines:
            values = _values(each, part.provider, part.model, question.zone)
            if _asked(values, each, question):
                row = rows[tuple(values[name] for name in question.group_by)]
                for figure, column in FIGURES.items():
                    row[figure] += getattr(part, column, 0)
    return dict(rows)


def _values(each: Entry, provider: str, model: str, zone: str) -> dict[str, Any]:
    at = datetime.fromtimestamp(each.started_at, UTC)
    values = {name: getattr(each, name) for name in ("team", "project", "key", "key_prefix", "user", "alias")}
    day = at.astimezone(ZoneInfo(zone)).date()
    times = {
        "day": day,
        "week": day - timedelta(days=day.weekday()),
        "month": day.replace(day=1),
        "hour": at.replace(minute=0, second=0, microsecond=0),
    }
    tags = {f"tag:{name}": each.tags.get(name, "") for name in ("cost_center", "app")}
    return {**values, "provider": provider, "model": model, **times, **tags}


def _asked(values: dict[str, Any], each: Entry, question: Question) -> bool:
    at = datetime.fromtimestamp(each.started_at, UTC)
    return (
        (question.since is None or question.since <= at)
        and (question.until is None or at < question.until)
        and all(values[name] == wanted for name, wanted in question.names)
        and all(each.tags.get(name, "") == wanted for name, wanted in question.tags)
        and (not question.alias_pattern or matches(question.alias_pattern, each.alias))
    )


def answered(question: Question) -> dict[tuple[Any, ...], dict[str, Any]]:
    rows = list(each_usage(question, size=7))
    assert len({row.group for row in rows}) == len(rows)
    return {row.group: row.sums for row in rows}


ENTRIES = day_of_requests(Random(7), 150)
PERIODS = [
    (None, None),
    (SINCE, UNTIL),
    (SINCE + timedelta(minutes=17, microseconds=1), UNTIL - timedelta(minutes=3)),
    (SINCE + timedelta(hours=5, minutes=10), SINCE + timedelta(hours=5, minutes=40)),
    (None, SINCE + timedelta(hours=30, minutes=1)),
    (SINCE + timedelta(hours=3), None),
    (UNTIL, SINCE),
    (UNTIL + timedelta(days=9), None),
]
GROUPINGS = [
    (), *((name,) for name in (*GROUPS, "tag:cost_center")), ("team", "day"), ("day", "hour"), ("model", "provider", "day"),
    ("week", "model"), ("key", "month"), ("month", "week", "day"), ("hour", "week"),
    ("tag:app", "hour", "tag:cost_center"), ("user", "key_prefix", "day", "alias"), ("project", "team"),
]  # fmt: skip


class TestSums:
    @pytest.fixture(autouse=True)
    def stored(self, any_database: str) -> None:
        store_records(ENTRIES)

    def test_by_anything_in_any_period(self) -> None:
        for group_by in GROUPINGS:
            for since, until in PERIODS:
                question = Question(group_by, since, until)
                expected = by_hand(ENTRIES, question)
                if not group_by and not expected:
                    expected = {(): dict.fromkeys(FIGURES, 0)}
                assert answered(question) == expected, question

    def test_with_filters(self) -> None:
        filters: list[dict[str, Any]] = [
            {"names": (("team", "alpha"),)},
            {"names": (("team", ""),)},
            {"names": (("user", "ada@example.org"), ("project", "other"))},
            {"names": (("key_prefix", "gw_beta1"),)},
            {"names": (("provider", "bedrock"), ("model", "claude-a"))},
            {"tags": (("cost_center", "4711"),)},
            {"tags": (("cost_center", "9"), ("app", "ünï"))},
            {"alias_pattern": "o*s"},
        ]
        for given in filters:
            for group_by in ((), ("team", "day"), ("model",)):
                question = Question(group_by, *PERIODS[2], **given)
                expected = by_hand(ENTRIES, question) or ({(): dict.fromkeys(FIGURES, 0)} if not group_by else {})
                assert answered(question) == expected, question

    def test_by_days_of_a_zone(self) -> None:
        for zone in ("Europe/Berlin", "America/Los_Angeles", "Pacific/Auckland", "Pacific/Kiritimati", "Asia/Tokyo"):
            for group_by in (
                ("day",), ("day", "team"), ("user", "day", "tag:app"), ("hour", "day"), ("week", "team"), ("month", "key"),
            ):  # fmt: skip
                for since in (
                    SINCE - timedelta(days=20),
                    SINCE + timedelta(minutes=7),
                    SINCE.replace(hour=0, minute=0),
                ):
                    question = Question(group_by, since, UNTIL, zone=zone)
                    assert answered(question) == by_hand(ENTRIES, question), question

    def test_by_days_when_clocks_change(self) -> None:
        """In Berlin the clocks went back on 25 October 2026, at 01:00 UTC."""
        moments = [datetime(2026, 10, 24, 21, tzinfo=UTC) + timedelta(hours=number) for number in range(30)]
        found = [entry(f"clock{number}", line(0, tokens_input=1), at=at) for number, at in enumerate(moments)]
        store_records(found)
        question = Question(
            ("day",), datetime(2026, 10, 20, tzinfo=UTC), datetime(2026, 10, 28, tzinfo=UTC), zone="Europe/Berlin"
        )
        assert answered(question) == by_hand(found, question)

    def test_with_some_values_kept_the_others_are_one(self) -> None:
        for name, kept in (("user", ("ada@example.org",)), ("tag:cost_center", ("4711", "")), ("model", ())):
            question = Question((name, "day"), *PERIODS[2], kept=(name, kept))
            expected: dict[tuple[Any, ...], dict[str, Any]] = {}
            for (value, day), sums in by_hand(ENTRIES, Question((name, "day"), *PERIODS[2])).items():
                row = expected.setdefault((value if value in kept else None, day), dict.fromkeys(FIGURES, 0))
                for figure in FIGURES:
                    row[figure] += sums[figure]
            assert answered(question) == expected, question

    def test_the_most_come_first(self) -> None:
        for order in ("requests", "errors", "cost_usd", "output"):
            expected = by_hand(ENTRIES, Question(("key_prefix", "model")))
            rows, count = usage(Question(("key_prefix", "model")), order=order, limit=4)
            most = sorted(expected, key=lambda group: (-expected[group][order], group))[:4]
            assert [row.group for row in rows] == most
            assert count == len(expected)
        tokens = by_hand(ENTRIES, Question(("alias",)))
        found = [row.group for row in usage(Question(("alias",)), order="tokens")[0]]
        kinds = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")
        assert found == sorted(tokens, key=lambda group: -sum(tokens[group][kind] for kind in kinds))

    def test_costs_of_several_questions_are_asked_at_once(self, django_assert_num_queries: Any) -> None:
        questions = [Question(names=(("team", team),)) for team in ("alpha", "nobody", "beta")]
        with django_assert_num_queries(1):
            found = total_costs(questions)
        assert found == [sum(each.cost_usd for each in ENTRIES if each.team == name) for name in ("alpha", "x", "beta")]
        assert total_costs([]) == []

    def test_every_spending_is_a_sum_of_costs(self) -> None:
        since, until = PERIODS[2]
        for given in (
            {},
            {"team": "alpha"},
            {"user": "ada@example.org"},
            {"key_prefix": "gw_alpha1", "project": "other"},
        ):
            names = tuple(given.items())
            rows = by_hand(ENTRIES, Question((), since, until, names))
            assert spent(since=since, until=until, **given) == rows[()]["cost_usd"]
        assert spent(since=None) == sum(each.cost_usd for each in ENTRIES)
        assert (
            spent(since=since, until=until, model="son*")
            == by_hand(ENTRIES, Question((), since, until, alias_pattern="son*"))[()]["cost_usd"]
        )
        assert spent(since=None, tag="cost_center=4711") == sum(
            each.cost_usd for each in ENTRIES if each.tags.get("cost_center") == "4711"
        )
        assert spent(since=until, until=since) == 0


def test_pages_follow_each_other(any_database: str) -> None:
    store_records([entry(f"{number}", line(0), user=f"u{number:03}") for number in range(25)])
    question = Question(("user",))
    first, total = usage(question, limit=10)
    last, _ = usage(question, limit=10, offset=20)
    assert (len(first), len(last), total) == (10, 5, 25)
    assert [row.group for row in first + last][:1] == [("u000",)]
    assert usage(question, limit=10, offset=30) == ([], 25)


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("a_b", ["a_b"]),
        ("a_*", ["a_b", "a_"]),
        ("*%*", ["50%"]),
        ("[ab]", ["[ab]"]),
        ("?", ["?"]),
        ("A*", ["Axb"]),
        ("a\\*", ["a\\b"]),
        ("*", None),
        ("*b", ["a_b", "axb", "Axb", "a\\b"]),
    ],
)
def test_patterns_mean_the_same_in_every_database(any_database: str, pattern: str, names: list[str] | None) -> None:
    aliases = ["a_b", "a_", "axb", "Axb", "50%", "[ab]", "?", "a\\b", "b-x"]
    store_records([entry(f"{alias}", line(0), alias=alias) for alias in aliases])
    found = {row.group[0] for row in each_usage(Question(("alias",), alias_pattern=pattern))}
    assert found == set(aliases if names is None else names)
    assert found == {alias for alias in aliases if matches(pattern, alias)}


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "Australia/Adelaide"])
def test_zones_that_cut_hours_are_refused(zone: str) -> None:
    with pytest.raises(BadQuestion, match="not whole hours"):
        usage(Question(("day",), SINCE, UNTIL, zone=zone))


def test_days_of_a_zone_need_a_period() -> None:
    with pytest.raises(BadQuestion, match="since and until"):
        usage(Question(("day",), SINCE, None, zone="Europe/Berlin"))


def _counted(stretch: Stretch, probe: datetime) -> int:
    inside = (stretch.start is None or stretch.start <= probe) and (stretch.end is None or probe < stretch.end)
    return (-1 if stretch.minus else 1) * inside


class TestStretches:
    def test_cover_a_period_once_with_the_largest_units(self) -> None:
        start, end = datetime(2026, 1, 30, 22, 15, tzinfo=UTC), datetime(2026, 4, 2, 1, 30, tzinfo=UTC)
        found = stretches(start, end, ("month", "day", "hour"))
        assert [(each.unit, each.end) for each in found] == [
            (None, datetime(2026, 1, 30, 23, tzinfo=UTC)),
            ("hour", datetime(2026, 1, 31, tzinfo=UTC)),
            ("day", datetime(2026, 2, 1, tzinfo=UTC)),
            ("month", datetime(2026, 4, 1, tzinfo=UTC)),
            ("day", datetime(2026, 4, 2, tzinfo=UTC)),
            ("hour", datetime(2026, 4, 2, 1, tzinfo=UTC)),
            (None, end),
        ]
        assert found[0].start == start
        for before, after in pairwise(found):
            assert before.end == after.start

    def test_of_any_two_moments_join_without_gap(self) -> None:
        random = Random(3)
        moments = sorted(START + timedelta(seconds=random.randrange(10**8)) for _ in range(12))
        moments += [
            floor(moments[3], "month"),
            ceiling(moments[5], "day"),
            following(floor(moments[0], "hour"), "hour"),
        ]
        for start, end in combinations(sorted(moments), 2):
            found = stretches(start, end, ("month", "day", "hour"))
            edges = [start, *(each.end for each in found)]
            assert edges[-1] == end
            assert [each.start for each in found] == edges[:-1]
            assert all(each.start != each.end for each in found)

    def test_take_a_unit_whole_of_which_little_is_missing(self) -> None:
        start, end = datetime(2026, 1, 3, 22, 45, tzinfo=UTC), datetime(2026, 4, 2, 23, 50, tzinfo=UTC)
        found = stretches(start, end, ("month", "day", "hour"), complement=True)
        assert [(each.unit, each.minus, each.start, each.end) for each in found] == [
            ("day", True, datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 4, tzinfo=UTC)),
            (None, False, start, datetime(2026, 1, 3, 23, tzinfo=UTC)),
            ("hour", False, datetime(2026, 1, 3, 23, tzinfo=UTC), datetime(2026, 1, 4, tzinfo=UTC)),
            ("month", False, datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)),
            ("day", False, datetime(2026, 4, 1, tzinfo=UTC), datetime(2026, 4, 3, tzinfo=UTC)),
            (None, True, end, datetime(2026, 4, 3, tzinfo=UTC)),
        ]

    def test_that_are_taken_away_leave_each_moment_of_the_period_once(self) -> None:
        random = Random(5)
        moments = [START + timedelta(seconds=random.randrange(10**7)) for _ in range(14)]
        moments += [floor(moments[0], "month"), ceiling(moments[1], "day"), floor(moments[2], "hour")]
        probes = [START + timedelta(seconds=random.randrange(10**7)) for _ in range(400)]
        for start, end in combinations(sorted(moments), 2):
            found = stretches(start, end, ("month", "day", "hour"), complement=True)
            near = [each + timedelta(seconds=s) for each in (start, end) for s in (-4000, -60, -1, 0, 1, 60, 4000)]
            for probe in (*probes, *near):
                assert sum(_counted(each, probe) for each in found) == (start <= probe < end), (start, end, probe)

    def test_without_bounds_are_one(self) -> None:
        assert [each.unit for each in stretches(None, None, ("month", "day", "hour"))] == ["month"]


def test_a_month_and_a_leap_day_end_where_they_do() -> None:
    assert following(datetime(2028, 2, 1, tzinfo=UTC), "month") == datetime(2028, 3, 1, tzinfo=UTC)
    assert following(datetime(2026, 12, 1, tzinfo=UTC), "month") == datetime(2027, 1, 1, tzinfo=UTC)
    assert floor(datetime(2026, 3, 1, 0, 30, tzinfo=ZoneInfo("Europe/Berlin")), "month").date() == date(2026, 2, 1)
