"""Counters are filled from the records at the start, and put right when they drift from them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from accounting.limits.alerts import Alerts
from accounting.limits.book import LimitBook, line_at
from accounting.limits.checking import Checker
from accounting.limits.counters import Settlement, Wish
from accounting.limits.memory import MemoryCounters
from accounting.limits.periods import Period, period_at
from accounting.limits.spending import spent_by_ledger
from accounting.limits.standing import standings, watch
from accounting.limits.terms import EVERYTHING, KEY, NANO, PROJECT, TEAM, USER, BudgetTerms, Scope
from accounting.models import Budget, BudgetAlert
from accounting.money.entry import Entry, Line
from accounting.money.store import store_records
from tests.limits.conftest import Both, plan

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def terms(id_: int = 1, **fields: object) -> BudgetTerms:
    return replace(BudgetTerms(id_, EVERYTHING, "day", 10 * NANO), **fields)  # type: ignore[arg-type]


def book(*budgets: BudgetTerms) -> LimitBook:
    return LimitBook(budgets=budgets)


class Records:
    """What was spent, by day."""

    def __init__(self, **days: str) -> None:
        self.days = {name: Decimal(amount) for name, amount in days.items()}

    def __call__(self, of: BudgetTerms, period: Period) -> Decimal:
        day = datetime.fromtimestamp(period.start, UTC)
        return self.days.get(f"d{day.day}", Decimal(0))


def checker(both: Both, records: Records, *, behind: int = 0) -> Checker:
    return Checker(both.books, records, behind=lambda: behind, clock=NOW.timestamp)


def spent(both: Both, of: BudgetTerms) -> int:
    return both.books.standing([line_at(of, NOW.timestamp()).key])[0].spent


class TestFilling:
    async def test_what_was_spent_before_the_start_counts(self, both: Both) -> None:
        checker(both, Records(d25="7.5")).fill(book(terms()))
        assert spent(both, terms()) == 7_500_000_000

    async def test_what_is_known_is_not_filled_again(self, both: Both) -> None:
        both.books.correct(line_at(terms(), NOW.timestamp()).key, 5)
        checker(both, Records(d25="7.5")).fill(book(terms()))
        assert spent(both, terms()) == 5

    async def test_what_is_carried_over_comes_from_the_periods_before(self, both: Both) -> None:
        of = terms(carry_over=True, created_at=(NOW - timedelta(days=3, hours=13)).timestamp())
        # Made on the 21st; 22nd: all of 20 (half carried over) but 5; 23rd: 10 and 10 carried, 18 spent; 24th: 12 to spend.
        checker(both, Records(d21="0", d22="5", d23="18", d24="4")).fill(book(of))
        line = line_at(of, NOW.timestamp())
        decision = await both.counters.admit("a", plan(line), Wish(cost=1))
        assert decision.budgets[0].limit == (10 + 8) * NANO

    async def test_nothing_is_carried_into_the_first_period(self, both: Both) -> None:
        of = terms(carry_over=True, created_at=NOW.timestamp() - 60)
        checker(both, Records()).fill(book(of))
        decision = await both.counters.admit("a", plan(line_at(of, NOW.timestamp())), Wish(cost=1))
        assert decision.budgets[0].limit == 10 * NANO


class TestChecking:
    async def test_drift_is_put_right_when_it_is_seen_twice(self, both: Both, caplog: pytest.LogCaptureFixture) -> None:
        records, of = Records(d25="5"), terms()
        looking = checker(both, records)
        looking.fill(book(of))
        both.books.correct(line_at(of, NOW.timestamp()).key, -2 * NANO)
        for expected in (3 * NANO, 5 * NANO, 5 * NANO):
            looking.look(book(of))
            looking.check(book(of))
            assert spent(both, of) == expected
        assert sum("drifted" in str(record.msg) for record in caplog.records) == 1

    async def test_too_much_is_taken_off(self, both: Both) -> None:
        looking = checker(both, Records(d25="5"))
        looking.fill(book(terms()))
        both.books.correct(line_at(terms(), NOW.timestamp()).key, 3 * NANO)
        for _ in range(2):
            looking.look(book(terms()))
            looking.check(book(terms()))
        assert spent(both, terms()) == 5 * NANO

    async def test_requests_whose_records_are_on_their_way_are_no_drift(self, both: Both) -> None:
        """What is counted between the halves of a check is not in the records yet, and need not be."""
        records, of = Records(d25="5"), terms()
        looking = checker(both, records)
        looking.fill(book(of))
        line = line_at(of, NOW.timestamp())
        for number in range(5):
            looking.look(book(of))
            decision = await both.counters.admit(str(number), plan(line), Wish(cost=NANO))
            both.counters.settle(Settlement(str(number), decision.at, NANO, [(line.key, line.lifetime)]))
            await both.counters.caught_up()
            looking.check(book(of))
            records.days["d25"] += 1
        assert spent(both, of) == 10 * NANO

    async def test_while_the_database_is_behind_nothing_is_taken_off(self, both: Both) -> None:
        looking = checker(both, Records(d25="5"), behind=5000)
        looking.fill(book(terms()))
        both.books.correct(line_at(terms(), NOW.timestamp()).key, 3 * NANO)
        for _ in range(3):
            looking.look(book(terms()))
            looking.check(book(terms()))
        assert spent(both, terms()) == 8 * NANO


def record(number: int, cost: str, *, started_at: datetime = NOW, **fields: Any) -> None:
    """A stored request of one ledger line."""
    values: dict[str, Any] = {
        "team": "platform", "project": "default", "key": "ci", "status": 200, "outcome": "served", "alias": "sonnet",
        "provider": "main", "upstream_model": "claude-sonnet",
    } | fields  # fmt: skip
    line = Line(0, "usage", 0, "main", values["upstream_model"], cost_usd=Decimal(cost), price={"id": 1})
    store_records([Entry(f"req_{number}", started_at.timestamp(), cost_usd=Decimal(cost), lines=[line], **values)])


@pytest.mark.django_db
class TestSpending:
    def test_what_a_budget_has_spent_is_the_sum_of_its_records(self) -> None:
        record(1, "1.000000000001")
        record(2, "2", team="other")
        record(3, "4", project="other")
        record(4, "8", user="ada@example.org", tags={"cost_center": "4711"})
        record(5, "16", alias="opus", upstream_model="claude-opus-4")
        record(6, "32", started_at=NOW - timedelta(days=1))
        day = period_at("day", NOW.timestamp(), "UTC")

        def total(**fields: Any) -> Decimal:
            return spent_by_ledger(terms(**fields), day)

        assert total() == Decimal("31.000000000001")
        assert total(scope=Scope(TEAM, 1, "platform", "platform")) == Decimal("29.000000000001")
        assert total(scope=Scope(PROJECT, 1, "platform/default", "platform")) == Decimal("25.000000000001")
        assert total(scope=Scope(USER, 1, "ada@example.org")) == 8
        assert total(scope=Scope(KEY, 1, "platform/default/ci", "platform")) == 0  # a key that is not there any more
        assert total(tag="cost_center=4711") == 8
        assert total(model="claude-opus-*") == 16
        assert total(model="sonnet") == Decimal("15.000000000001")
        assert spent_by_ledger(terms(), period_at("total", 0, "UTC")) == Decimal("63.000000000001")

    def test_without_live_counters_the_records_say_how_budgets_stand(self) -> None:
        record(1, "4")
        (standing,) = standings([terms()], now=NOW.timestamp())
        assert (standing.spent, standing.remaining, standing.live) == (4 * NANO, 6 * NANO, False)


@pytest.mark.django_db
class TestAlerts:
    def test_each_soft_limit_raises_one_alert_in_a_period(self) -> None:
        row = Budget.objects.create(scope="organization", period="day", amount=10, soft=[50, 80])
        of, memory = terms(row.pk, soft=(50, 80)), MemoryCounters()
        watch(memory)
        try:
            key = line_at(of, NOW.timestamp()).key
            one, other = Alerts(NOW.timestamp), Alerts(NOW.timestamp)
            assert one.look(book(of)) == []
            memory.correct(key, 5 * NANO)
            assert [alert.threshold for alert in one.look(book(of))] == [50]
            assert one.look(book(of)) == other.look(book(of)) == []
            memory.correct(key, 4 * NANO)
            assert [alert.threshold for alert in other.look(book(of))] == [80]
            assert one.look(book(of)) == []
            tomorrow = Alerts(lambda: NOW.timestamp() + 86_400)
            assert tomorrow.look(book(of)) == []
            memory.correct(line_at(of, NOW.timestamp() + 86_400).key, 10 * NANO)
            assert [alert.threshold for alert in tomorrow.look(book(of))] == [50, 80]
        finally:
            watch(None)
        assert BudgetAlert.objects.count() == 4
        first = BudgetAlert.objects.order_by("id").first()
        assert first is not None
        assert (first.spent, first.limit, first.at) == (5, 10, NOW)
