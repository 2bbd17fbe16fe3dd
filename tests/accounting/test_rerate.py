"""Other prices for a period: the difference is told exactly, and added once, as lines that change no other line."""

from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from accounting.audit.changes import Actor
from accounting.models import AuditEvent, LedgerEntry, RequestRecord, Rerating
from accounting.money.agreement import differences
from accounting.money.rebuild import rebuild
from accounting.money.reports import Question, usage
from accounting.money.repricing import by_book
from accounting.money.rerate import AT_ONCE, Reprice, Repriced, Scope, compare, rerate
from accounting.money.store import store_records
from tests.accounting.ledgers import PRICE, START, day_of_requests, entry, line
from tests.accounting.test_rollups import picture

ACTOR = Actor("ada@example.org", "user")
PERIOD = Scope(START, START + timedelta(days=2))
NOW = START + timedelta(days=40)


def times(factor: str) -> Reprice:
    return lambda line: Repriced(line.cost_usd * Decimal(factor), {"id": 8})


def total() -> dict[str, Any]:
    return usage(Question())[0][0].sums


def untouched() -> list[Any]:
    return list(LedgerEntry.objects.exclude(kind="adjustment").order_by("id").values())


def test_the_difference_is_told_by_team_and_model_and_nothing_is_written(any_database: str) -> None:
    store_records(
        [
            entry("a", line(0, tokens_input=1000), line(1, tokens_input=500)),
            entry("b", line(0, tokens_input=1000), team="beta"),
            entry("c", line(0, tokens_input=1000), at=START + timedelta(days=2)),
            entry("d", line(0, tokens_input=1000, provider="other")),
        ]
    )
    changes = compare(Scope(START, START + timedelta(days=2), "main", "claude-a"), times("2"))
    assert [(each.team, each.model, each.lines, each.before, each.difference) for each in changes] == [
        ("alpha", "claude-a", 2, Decimal("0.0045"), Decimal("0.0045")),
        ("beta", "claude-a", 1, Decimal("0.003"), Decimal("0.003")),
    ]
    assert not Rerating.objects.exists()
    assert not LedgerEntry.objects.filter(kind="adjustment").exists()


def test_adjustments_add_up_and_rewrite_nothing(any_database: str) -> None:
    store_records(day_of_requests(Random(5), 80))
    before, lines, records = total(), untouched(), list(RequestRecord.objects.order_by("id").values())
    foretold = compare(PERIOD, times("1.1"))
    run, changes = rerate(ACTOR, PERIOD, times("1.1"), reason="new contract", now=NOW)
    assert changes == foretold
    assert (untouched(), list(RequestRecord.objects.order_by("id").values())) == (lines, records)
    after = total()
    assert abs(run.difference_usd - before["cost_usd"] / 10) < Decimal(run.lines).scaleb(-12)  # each is rounded
    assert after["adjustment_usd"] == run.difference_usd
    assert after["cost_usd"] == before["cost_usd"] + run.difference_usd
    assert {name: after[name] for name in ("requests", "input", "output")} == {
        name: before[name] for name in ("requests", "input", "output")
    }
    assert differences() == []
    right = picture()
    rebuild()
    assert picture() == right


def test_running_it_again_changes_nothing(any_database: str) -> None:
    store_records(day_of_requests(Random(6), 40))
    rerate(ACTOR, PERIOD, times("1.5"), reason="first", now=NOW)
    before, count = total(), LedgerEntry.objects.count()
    run, changes = rerate(ACTOR, PERIOD, times("1.5"), reason="again", now=NOW)
    assert (changes, run.lines, total(), LedgerEntry.objects.count()) == ([], 0, before, count)
    rerate(ACTOR, PERIOD, times("1"), reason="taken back", now=NOW)
    assert total()["adjustment_usd"] == 0
    assert differences() == []


def test_an_adjustment_says_what_it_corrects_why_and_by_whom(any_database: str) -> None:
    store_records([entry("a", line(0, tokens_input=1000), line(4, tokens_output=10), user="bob", tags={"x": "y"})])
    rerate(
        ACTOR,
        PERIOD,
        lambda line: Repriced(Decimal("0.5"), {"id": 9}) if line.number == 4 else None,
        reason="oops",
        now=NOW,
    )
    made = LedgerEntry.objects.get(kind="adjustment")
    assert (made.request_id, made.number, made.adjusts, made.cost_usd) == ("a", 5, 4, Decimal("0.49985"))
    assert (made.reason, made.actor, made.posted_at, made.at) == ("oops", "ada@example.org", NOW, START)
    assert (made.user, made.tags, made.price, made.tokens_output) == ("bob", {"x": "y"}, {"id": 9}, 0)
    events = AuditEvent.objects.filter(object_type="rerating").order_by("id")
    assert [(event.action, event.actor) for event in events] == [("created", ACTOR.name), ("applied", ACTOR.name)]
    assert Rerating.objects.get().lines == 1


def test_more_lines_than_one_transaction_takes(any_database: str) -> None:
    store_records([entry(f"{number}", line(0, tokens_input=1), at=START) for number in range(AT_ONCE + 7)])
    run, _ = rerate(ACTOR, PERIOD, times("2"), reason="many", now=timezone.now())
    assert run.lines == AT_ONCE + 7
    assert differences() == []


@pytest.mark.parametrize(
    ("until", "reason"), [(START, "why"), (START + timedelta(days=1), "")], ids=["period", "reason"]
)
def test_a_run_without_period_or_reason_is_refused(any_database: str, until: Any, reason: str) -> None:
    with pytest.raises(ValidationError):
        rerate(ACTOR, Scope(START, until), times("2"), reason=reason, now=NOW)
    assert not Rerating.objects.exists()


@dataclass(frozen=True)
class Rates:
    input: Decimal = Decimal(6)
    output: Decimal = Decimal(30)
    cache_write_5m: Decimal = Decimal("7.5")
    cache_write_1h: Decimal = Decimal(12)
    cache_read: Decimal = Decimal("0.6")


@dataclass(frozen=True)
class Row:
    id: int | None
    rates: Rates = Rates()
    long: Rates | None = None
    fast: Rates | None = None
    batch: Decimal = Decimal(1)
    web_search_per_1000: Decimal = Decimal(10)

    def shown(self, band: str, rates: Rates, batch: Decimal, geo: Decimal) -> dict[str, Any]:
        return {"id": self.id, "band": band, "batch": str(batch), "geo": str(geo)}


@dataclass
class Book:
    """Rows by (provider, model); what was asked for is in `asked`."""

    rows: dict[tuple[str, str], Row]
    unknown: Row = Row(None)
    asked: list[tuple[str, str, float]] = field(default_factory=list)

    def row(self, provider: str, model: str, at: float) -> Row | None:
        self.asked.append((provider, model, at))
        return self.rows.get((provider, model))


class TestByBook:
    def ledger(self, **fields: Any) -> LedgerEntry:
        price = {**PRICE, **fields.pop("price", {})}
        return LedgerEntry(
            provider="main", model="claude-a", at=START, price=price, tokens_input=100, tokens_output=10,
            tokens_cache_read=1000, tokens_cache_write_5m=4, tokens_cache_write_1h=2, **fields,
        )  # fmt: skip

    def test_the_row_in_force_prices_every_kind(self) -> None:
        book = Book({("main", "claude-a"): Row(8)})
        found = by_book(book)(self.ledger(web_searches=3))
        assert found == Repriced(Decimal("0.031554000000"), {"id": 8, "band": "standard", "batch": "1", "geo": "1"})
        assert book.asked == [("main", "claude-a", START.timestamp())]

    def test_a_row_that_still_counts_changes_nothing(self) -> None:
        assert by_book(Book({("main", "claude-a"): Row(7)}))(self.ledger()) is None

    def test_a_call_that_was_free_stays_free(self) -> None:
        free = self.ledger()
        free.price = None
        assert by_book(Book({("main", "claude-a"): Row(8)}))(free) is None

    def test_bands_and_multipliers_are_those_that_were_recorded(self) -> None:
        low = Rates(*(Decimal(1),) * 5)
        row = Row(8, long=low, batch=Decimal("0.25"))
        recorded = {"band": "long_context", "multipliers": {"batch": "0.5", "geo": "1.1"}}
        found = by_book(Book({("main", "claude-a"): row}))(self.ledger(price=recorded))
        assert found == Repriced(
            Decimal("0.000306900000"), {"id": 8, "band": "long_context", "batch": "0.25", "geo": "1.1"}
        )
        fast = by_book(Book({("main", "claude-a"): row}))(self.ledger(price={"band": "fast"}))
        assert fast is not None
        assert fast.price is not None
        assert fast.price["band"] == "standard"

    def test_a_model_that_has_a_price_now_no_longer_costs_what_unknown_ones_do(self) -> None:
        unknown = {"id": None, "model": "*", "provider": "*"}
        found = by_book(Book({("main", "claude-a"): Row(8)}))(self.ledger(price=unknown))
        assert found is not None
        assert found.cost == Decimal("0.001554")

    def test_the_name_by_which_its_row_was_found_counts_again(self) -> None:
        book = Book({("main", "claude-told"): Row(7), ("main", "claude-a"): Row(3)})
        assert by_book(book)(self.ledger(price={"model": "claude-told"})) is None
