"""Roll-ups are the sums of records and ledger: whatever is stored twice, late, by several at once, or was damaged."""

import threading
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from io import StringIO
from random import Random
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connections
from django.db.models import Sum

from accounting.models import (
    DailyTotals,
    DailyUsage,
    HourlyOutcomes,
    HourlyTotals,
    HourlyUsage,
    LedgerEntry,
    MonthlyUsage,
    RequestRecord,
    UsageDimension,
)
from accounting.money.agreement import differences
from accounting.money.entry import Entry
from accounting.money.rebuild import rebuild
from accounting.money.reports import Question, usage
from accounting.money.spending import spent
from accounting.money.store import store_records, store_row_by_row
from tests.accounting.ledgers import START, day_of_requests, entry, line

TABLES: tuple[Any, ...] = (HourlyUsage, HourlyTotals, DailyUsage, DailyTotals, MonthlyUsage)
SUMMED = ("tokens_input", "tokens_output", "tokens_cache_read", "tokens_cache_write_1h", "web_searches", "cost_usd")


def picture() -> dict[str, set[tuple[Any, ...]]]:
    """Every row of every roll-up."""
    tables = (*TABLES, HourlyOutcomes)
    return {table.__name__: set(table.objects.values_list(*_columns(table))) for table in tables}


def _columns(table: Any) -> list[str]:
    return [field.attname for field in table._meta.concrete_fields]


def assert_sums_of_records() -> None:
    assert differences() == []
    sums = RequestRecord.objects.aggregate(**{name: Sum(name) for name in SUMMED})
    for table in TABLES:
        assert table.objects.aggregate(**{name: Sum(name) for name in SUMMED}) == sums
        assert table.objects.aggregate(n=Sum("requests"))["n"] == RequestRecord.objects.count()


def test_each_line_becomes_a_row_with_the_names_of_its_record(any_database: str) -> None:
    lines = line(0, "failed", provider="bedrock", tokens_input=5), line(1, tokens_output=7, estimated=True)
    store_records(
        [entry("a", *lines, user="ada@example.org", key_prefix="gw_1", session_id="s", tags={"b": "1", "a": "2"})]
    )
    failed, answer = LedgerEntry.objects.order_by("number")
    assert (failed.kind, failed.provider, failed.tokens_input, failed.cost_usd) == (
        "failed",
        "bedrock",
        5,
        Decimal("0.000015"),
    )
    assert (answer.kind, answer.estimated, answer.cost_usd, answer.at) == ("usage", True, Decimal("0.000105"), START)
    assert (answer.user, answer.key_prefix, answer.session_id) == ("ada@example.org", "gw_1", "s")
    assert answer.tags == {"a": "2", "b": "1"}
    assert answer.price is not None
    assert answer.price["output"] == "15"


def test_sums_over_every_table_are_the_sums_over_records(any_database: str) -> None:
    random = Random(1)
    for number in range(4):
        store_records(day_of_requests(random, 60, f"{number}-"))
    assert RequestRecord.objects.count() == 240
    assert_sums_of_records()
    outcomes = HourlyOutcomes.objects.aggregate(n=Sum("requests"))["n"]
    assert outcomes == RequestRecord.objects.exclude(outcome="served").count() > 0


@pytest.mark.parametrize("store", [store_records, store_row_by_row], ids=["at once", "row by row"])
def test_what_is_stored_again_counts_once(any_database: str, store: Callable[[list[Entry]], None]) -> None:
    entries = day_of_requests(Random(2), 50)
    store(entries[:30])
    before = picture()
    store(entries[:30])
    assert picture() == before
    store([*entries[20:], entries[0]])
    store(entries)
    assert LedgerEntry.objects.count() == sum(len(each.lines) for each in entries)
    assert_sums_of_records()


def test_two_entries_of_one_request_in_a_batch_are_the_first_one(any_database: str) -> None:
    store_records([entry("a", line(0, tokens_input=1)), entry("a", line(0, tokens_input=9), line(1, tokens_input=9))])
    assert list(LedgerEntry.objects.values_list("number", "tokens_input")) == [(0, 1)]
    assert_sums_of_records()


@pytest.mark.parametrize(
    "broken",
    [
        entry("bad", line(0, tokens_input=-5, tokens_output=2**70), user_agent="nul \x00"),
        entry("bad", line(0, "kind \x00" * 20, model="m" * 999), alias="\x00"),
        entry("bad", line(0, cost_usd=Decimal("NaN")), cost_usd=Decimal("Infinity")),
        entry("bad", line(0, price={"input": float("nan"), "note": "\x00"}), ttft_ms=1e300, duration_ms=float("nan")),
    ],
    ids=["numbers", "texts", "money", "price"],
)
def test_a_line_that_no_column_holds_costs_no_record(any_database: str, broken: Entry) -> None:
    store_records([entry("good", line(0, tokens_input=1)), broken])
    assert set(LedgerEntry.objects.values_list("request_id", flat=True)) == {"good", "bad"}
    table_sums = {table: table.objects.aggregate(n=Sum("requests"))["n"] for table in TABLES}
    assert set(table_sums.values()) == {2}


def test_a_late_record_lands_in_its_own_hour(any_database: str) -> None:
    store_records([entry("now", line(0, tokens_input=1), at=START + timedelta(hours=5))])
    store_records([entry("late", line(0, tokens_input=2))])
    hours = HourlyUsage.objects.order_by("bucket").values_list("bucket", "tokens_input")
    assert list(hours) == [(START.replace(minute=0), 2), (START.replace(minute=0) + timedelta(hours=5), 1)]
    assert list(MonthlyUsage.objects.order_by("bucket").values_list("tokens_input", flat=True)) == [2, 1]


def test_a_line_of_another_provider_counts_there_and_its_request_at_the_records_own(any_database: str) -> None:
    store_records(
        [entry("a", line(0, tokens_input=1), line(1, "advisor", provider="other", model="big", tokens_input=5))]
    )
    rows = DailyUsage.objects.values_list("dimension__provider", "dimension__model", "requests", "tokens_input")
    assert sorted(rows) == [("main", "claude-a", 1, 1), ("other", "big", 0, 5)]


def test_a_record_without_lines_counts_its_own_tokens(any_database: str) -> None:
    store_records([entry("old", tokens_input=11, provider="main", upstream_model="m")])
    assert DailyUsage.objects.values_list("tokens_input", "requests").get() == (11, 1)
    assert differences() == []


def test_times_to_the_first_byte_are_summed_and_sorted_into_a_histogram(any_database: str) -> None:
    times = [None, 0.5, 100.0, 100.1, 59_999.0, 60_001.0]
    store_records([entry(f"{number}", ttft_ms=ttft) for number, ttft in enumerate(times)])
    row = HourlyUsage.objects.get()
    assert (row.ttft_count, row.ttft_us) == (5, 120_200_600)
    assert (row.ttft_100, row.ttft_200, row.ttft_60000) == (2, 1, 1)


MOST = 2**63 - 1


class TestSumsThatNoColumnHolds:
    """They stop at the largest number that there is. No record is lost for them, and none waits in quarantine."""

    def test_of_one_batch(self, any_database: str) -> None:
        store_records([entry(name, line(0, tokens_input=MOST, cost_usd=Decimal(1))) for name in "abc"])
        assert RequestRecord.objects.count() == LedgerEntry.objects.count() == 3
        for table in TABLES:
            assert table.objects.values_list("requests", "tokens_input", "cost_usd").get() == (3, MOST, 3)
        assert differences() == []

    def test_of_what_is_there_and_what_comes(self, any_database: str) -> None:
        for number, name in enumerate("abc"):
            store_records([entry(name, line(0, tokens_output=2**62, tokens_input=1, cost_usd=Decimal(1)))])
            row = MonthlyUsage.objects.values_list("tokens_output", "tokens_input", "requests").get()
            assert row == (min((number + 1) * 2**62, MOST), number + 1, number + 1)
        before = picture()
        rebuild()
        assert picture() == before
        assert differences() == []

    def test_of_a_record_with_several_such_lines(self, any_database: str) -> None:
        lines = [
            line(number, tokens_input=2**62, web_searches=2**30, cost_usd=Decimal(1), model=f"m{number}")
            for number in range(3)
        ]
        store_records([entry("a", *lines), entry("b", line(0, tokens_input=5), user="ada@example.org")])
        assert RequestRecord.objects.filter(request_id="a").values_list("tokens_input", flat=True).get() == MOST
        assert differences() == []
        before = picture()
        rebuild()
        assert picture() == before

    def test_of_counts(self, any_database: str) -> None:
        store_records([entry("a", line(0), outcome="refused", reason="budget")])
        full = 2**31 - 1
        for table in TABLES:
            table.objects.update(requests=full, refused=full)
        HourlyOutcomes.objects.update(requests=full)
        store_records([entry("b", line(0), outcome="refused", reason="budget")])
        assert MonthlyUsage.objects.get().requests == full + 1  # months are wide enough
        assert set(RequestRecord.objects.values_list("request_id", flat=True)) == {"a", "b"}
        assert DailyUsage.objects.get().requests >= full
        assert HourlyOutcomes.objects.get().requests >= full

    def test_of_dollars_in_sqlite(self, any_database: str) -> None:
        """Nine million dollars are all that its whole numbers hold; PostgreSQL has room for more."""
        lines = [line(number, cost_usd=Decimal(8_000_000)) for number in range(2)]
        store_records([entry("a", lines[0]), entry("b", lines[1])])
        store_records([entry("c", line(0, cost_usd=Decimal(8_000_000)))])
        most = Decimal(24_000_000) if any_database.startswith("postgres") else Decimal(MOST).scaleb(-12)
        assert HourlyUsage.objects.get().cost_usd == most
        assert RequestRecord.objects.count() == 3
        assert differences() == []

    def test_are_answered(self, any_database: str) -> None:
        for name in "ab":
            store_records([entry(name, line(0, tokens_input=MOST, cost_usd=Decimal(5_000_000)), user=name)])
        rows, _ = usage(Question())
        assert rows[0].sums["input"] >= MOST
        assert rows[0].sums["requests"] == 2
        assert spent(since=None) > 9_000_000
        assert spent(since=START - timedelta(minutes=1), until=START + timedelta(minutes=1)) > 9_000_000


class TestRebuild:
    def test_makes_of_nothing_and_of_nonsense_what_storing_made(self, any_database: str) -> None:
        store_records(day_of_requests(Random(3), 120))
        right = picture()
        for table in TABLES:
            table.objects.all().delete()
        HourlyOutcomes.objects.all().delete()
        UsageDimension.objects.all().delete()
        rebuild()
        assert picture() == right
        HourlyUsage.objects.update(requests=7)
        DailyUsage.objects.update(tokens_input=-1)
        MonthlyUsage.objects.update(cost_usd=Decimal(3))
        DailyTotals.objects.all().delete()
        assert differences()
        rebuild()
        assert picture() == right
        assert_sums_of_records()

    def test_leaves_other_hours_alone(self, any_database: str) -> None:
        store_records([entry("a", line(0)), entry("b", line(0), at=START + timedelta(days=1))])
        HourlyUsage.objects.update(requests=9)
        rebuild(START + timedelta(days=1), None)
        assert list(HourlyUsage.objects.order_by("bucket").values_list("requests", flat=True)) == [9, 1]

    def test_does_not_forget_what_older_records_came_to(self, any_database: str) -> None:
        store_records([entry("old", line(0, tokens_input=3)), entry("new", line(0), at=START + timedelta(days=40))])
        RequestRecord.objects.filter(request_id="old").delete()  # as a rule of retention will
        rebuild()
        assert MonthlyUsage.objects.aggregate(n=Sum("tokens_input"))["n"] == 3

    def test_is_right_while_traffic_goes_on(self, any_database: str) -> None:
        entries = day_of_requests(Random(4), 300)
        store_records(entries[:50])

        def record() -> None:
            for start in range(50, 300, 25):
                store_records(entries[start : start + 25])
            connections.close_all()

        thread = threading.Thread(target=record)
        thread.start()
        while thread.is_alive():
            rebuild()
        thread.join()
        assert_sums_of_records()


@pytest.mark.postgres
def test_several_processes_share_rows_without_deadlock_or_loss(postgres: str) -> None:
    """Threads with connections of their own, as processes have; each has parts of what others store, too."""
    failed: list[BaseException] = []

    def record(number: int) -> None:
        try:
            own, shared = (
                day_of_requests(Random(number), 200, f"{number}-"),
                day_of_requests(Random(99), 100, "shared-"),
            )
            for start in range(0, 200, 20):
                store_records([*own[start : start + 20], *shared[start // 2 : start // 2 + 10]])
        except BaseException as error:  # noqa: BLE001  told below
            failed.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=record, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert RequestRecord.objects.count() == 900
    assert_sums_of_records()


class TestCheck:
    @pytest.mark.parametrize(
        ("damage", "words"),
        [
            (lambda: HourlyUsage.objects.update(tokens_input=1_000), "tokens_input is 1000, should be 5"),
            (
                lambda: DailyUsage.objects.update(cost_usd=Decimal("0.000000000001")),
                "cost_usd is 0.000000000001, should",
            ),
            (lambda: MonthlyUsage.objects.all().delete(), "requests is 0, should be 1"),
            (lambda: HourlyTotals.objects.update(ttft_us=5), "ttft_us"),
            (lambda: HourlyOutcomes.objects.all().delete(), "1 requests are to be counted"),
            (lambda: LedgerEntry.objects.all().delete(), "has no line in the ledger"),
            (lambda: LedgerEntry.objects.update(tokens_input=4), "tokens or cost differ"),
            (lambda: LedgerEntry.objects.update(team="beta"), "is not of its record's time and names"),
            (lambda: UsageDimension.objects.update(team="beta"), "has not the id of its names"),
            (lambda: LedgerEntry.objects.update(kind="adjustment", adjusts=0), "adjusts a line that does not exist"),
        ],
        ids=["hours", "days", "months", "totals", "outcomes", "no line", "line", "names", "id", "adjustment"],
    )
    def test_finds_each_kind_of_damage(self, any_database: str, damage: Callable[[], Any], words: str) -> None:
        store_records([entry("a", line(0, tokens_input=5)), entry("b", outcome="refused", reason="budget")])
        call_command("check_ledger", stdout=StringIO())
        damage()
        said = StringIO()
        with pytest.raises(CommandError):
            call_command("check_ledger", stdout=said)
        assert words in said.getvalue()

    def test_is_not_kept_busy_by_a_record_of_long_ago(self, any_database: str) -> None:
        store_records([entry("a", line(0)), Entry("b", 0.0), Entry("c", 4e9)])
        assert differences() == []
        assert rebuild().days == 3
        assert_sums_of_records()

    def test_looks_only_since_a_moment(self, any_database: str) -> None:
        store_records([entry("a", line(0)), entry("b", line(0), at=START + timedelta(days=2))])
        HourlyUsage.objects.filter(bucket__lt=START).update(requests=5)
        assert differences()
        assert differences(START + timedelta(days=1)) == []


def test_the_identity_of_names_cannot_be_confused(any_database: str) -> None:
    store_records([entry("a", team="x", project="yz"), entry("b", team="xy", project="z"), entry("c", team='x","y')])
    assert DailyUsage.objects.count() == 3
