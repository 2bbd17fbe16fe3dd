"""What the spool hands over reaches the table whole, once, and whatever its values are."""

import math
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounting.models import (
    DailyTotals,
    DailyUsage,
    HourlyOutcomes,
    HourlyTotals,
    HourlyUsage,
    KeyUse,
    LedgerEntry,
    MonthlyUsage,
    RequestRecord,
)
from accounting.money.entry import Attempt, Entry, Line
from accounting.money.recorder import Recorder
from accounting.money.spool import FINAL, encode
from accounting.money.store import store_at_once, store_lines, store_records, store_row_by_row
from tests.accounting.conftest import SERVER


def entry(name: str = "a", **fields: Any) -> Entry:
    return Entry(request_id=name, started_at=1_800_000_000.25, **fields)


def test_every_field_of_an_entry_has_its_column() -> None:
    columns = {field.name for field in RequestRecord._meta.concrete_fields}
    assert set(Entry.__struct_fields__) - {"lines"} == columns - {"id"}  # lines have a table of their own


def test_a_record_is_stored_as_it_was_handed_over(any_database: str) -> None:
    attempt = Attempt(provider="main", model="claude", status=529, error="overloaded", duration_ms=3.5)
    store_records([entry(attempts=[attempt], betas_removed=["x"], tokens_input=10**12, ttft_ms=1.5, stream=True)])
    record = RequestRecord.objects.get()
    assert record.started_at == datetime.fromtimestamp(1_800_000_000.25, UTC)
    assert record.attempts == [
        {"provider": "main", "model": "claude", "status": 529, "error": "overloaded", "duration_ms": 3.5}
    ]
    assert (record.betas_removed, record.tokens_input, record.ttft_ms, record.stream) == (["x"], 10**12, 1.5, True)


def test_storing_again_changes_nothing(any_database: str) -> None:
    store_records([entry("a", status=200), entry("b")])
    store_records([entry("b"), entry("a", status=500), entry("c")])
    assert sorted(RequestRecord.objects.values_list("request_id", "status")) == [("a", 200), ("b", 0), ("c", 0)]


def test_of_two_entries_of_one_id_in_a_batch_the_first_is_stored_with_its_lines(any_database: str) -> None:
    first, second = (Line(0, "usage", 0, "main", model, tokens_input=7) for model in ("one", "two"))
    extra = Line(1, "advisor", 0, "main", "two")
    store_records(
        [entry("a", tokens_input=7, lines=[first]), entry("b"), entry("a", status=500, lines=[second, extra])]
    )
    assert list(LedgerEntry.objects.values_list("request_id", "number", "model")) == [("a", 0, "one")]
    assert sum(DailyUsage.objects.values_list("requests", flat=True)) == 2
    assert sum(DailyUsage.objects.values_list("tokens_input", flat=True)) == 7


def test_served_and_refused_requests_of_one_hour_are_told_apart(any_database: str) -> None:
    words = [("served", ""), ("refused", "rate_limited"), ("refused", "budget_exceeded"), ("refused", "rate_limited")]
    store_records(
        [entry(f"{number}", outcome=outcome, reason=reason) for number, (outcome, reason) in enumerate(words)]
    )
    assert sorted(HourlyOutcomes.objects.values_list("outcome", "reason", "requests")) == [
        ("refused", "budget_exceeded", 1),
        ("refused", "rate_limited", 2),
    ]
    assert sorted(DailyUsage.objects.values_list("requests", "refused")) == [(4, 3)]


def test_a_batch_is_one_transaction_of_any_size(any_database: str) -> None:
    store_records([entry(f"{number}") for number in range(500)])
    assert RequestRecord.objects.count() == 500


@pytest.mark.parametrize(
    "fields",
    [
        {"user_agent": "x" * 5000, "alias": "y" * 5000, "team": "ü" * 500, "error_message": "z" * 100_000},
        {"user_agent": "nul \x00 inside", "attempts": [Attempt("p\x00", "m", 0, "\x00", 1.0)]},
        {"betas_removed": ["\x00"], "error_message": "\x00"},
        {"status": -1, "tokens_input": -5, "tokens_output": 2**70, "web_searches": 2**40, "config_revision": -1},
        {"status": 99_999},
        {"duration_ms": math.nan, "ttft_ms": math.inf},
        {"attempts": [Attempt("p", "m", 2**70, "e", math.nan)]},
    ],
    ids=["long", "nul", "nul in lists", "numbers", "status", "not finite", "attempt"],
)
def test_a_value_that_no_column_holds_costs_no_record(any_database: str, fields: dict[str, Any]) -> None:
    store_records([entry("a", **fields), entry("b")])
    assert set(RequestRecord.objects.values_list("request_id", flat=True)) == {"a", "b"}


texts = st.text(max_size=400)
numbers = st.integers(-(2**70), 2**70)
entries = st.builds(
    Entry,
    request_id=st.just("any"),
    started_at=st.floats(0, 4e9),
    session_id=texts,
    user_agent=texts,
    reason=texts,
    error_message=texts,
    betas_removed=st.lists(texts, max_size=3),
    attempts=st.lists(st.builds(Attempt, texts, texts, numbers, texts, st.floats()), max_size=2),
    status=numbers,
    tokens_output=numbers,
    web_searches=numbers,
    ttft_ms=st.none() | st.floats(),
    duration_ms=st.floats(),
)


SUMS = (HourlyUsage, DailyUsage, MonthlyUsage, HourlyTotals, DailyTotals, HourlyOutcomes)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(entries)
def test_no_entry_is_dropped_or_refused(any_database: str, found: Entry) -> None:
    for table in (RequestRecord, *SUMS):  # sums of several such entries are more than a column holds
        table.objects.all().delete()
    store_records([found])
    assert RequestRecord.objects.count() == 1


sane_numbers = st.integers(0, 2**31 - 1)
sane_texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=400)
sane_entries = st.builds(
    Entry,
    request_id=st.just("any"),
    started_at=st.floats(0, 4e9),
    client_format=st.sampled_from(["anthropic", "bedrock"]),
    team=sane_texts,
    user_agent=sane_texts,
    error_message=sane_texts,
    betas_removed=st.lists(sane_texts, max_size=3),
    attempts=st.lists(
        st.builds(Attempt, sane_texts, sane_texts, sane_numbers, sane_texts, st.floats(0, 1e9)), max_size=2
    ),
    stream=st.booleans(),
    status=st.integers(0, 999),
    tokens_output=st.integers(0, 2**60),
    web_searches=sane_numbers,
    ttft_ms=st.none() | st.floats(0, 1e9),
    duration_ms=st.floats(0, 1e9),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sane_entries)
def test_a_batch_at_once_stores_what_row_by_row_would(any_database: str, found: Entry) -> None:
    RequestRecord.objects.all().delete()
    store_at_once([found])
    at_once: dict[str, Any] = dict(RequestRecord.objects.values().get())
    RequestRecord.objects.all().delete()
    store_row_by_row([found])
    row_by_row: dict[str, Any] = dict(RequestRecord.objects.values().get())
    assert abs(at_once.pop("started_at") - row_by_row.pop("started_at")) < timedelta(milliseconds=1)
    assert at_once | {"id": 0} == row_by_row | {"id": 0}


def test_moments_are_stored_so_that_they_can_be_compared(any_database: str) -> None:
    store_at_once([Entry("exact", 1_800_000_000.0), Entry("later", 1_800_000_000.25)])
    moments = RequestRecord.objects.order_by("started_at")
    exact, later = (datetime.fromtimestamp(moment, UTC) for moment in (1_800_000_000.0, 1_800_000_000.25))
    assert [record.started_at for record in moments] == [exact, later]
    assert moments.filter(started_at__gte=exact).count() == 2
    assert moments.filter(started_at__gt=exact).count() == 1
    assert moments.filter(started_at__lt=later).get().request_id == "exact"


def shut(url: str, open_again: bool) -> None:
    """Turns connections away from a database and ends those that it has, or lets them in again."""
    name = url.rsplit("/", 1)[1]
    with psycopg.connect(SERVER, autocommit=True) as server:
        server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS {open_again}")
        if not open_again:
            server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])


class Watched:
    """`store_records`, with an event for each outcome that a test waits for."""

    def __init__(self) -> None:
        self.outages = 0
        self._changed = threading.Condition()

    def __call__(self, found: Sequence[Entry]) -> None:
        with self._changed:
            try:
                store_records(found)
            except OperationalError:
                self.outages += 1
                raise
            finally:
                self._changed.notify_all()

    def wait_for(self, condition: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, 30)


@pytest.mark.postgres
def test_records_made_while_postgresql_turns_us_away_follow_when_it_is_back(postgres: str, tmp_path: Path) -> None:
    store = Watched()
    recorder = Recorder(tmp_path / "spool", store=store, interval=0.01)
    recorder.start()
    recorder.finished(entry("before"))
    store.wait_for(lambda: recorder.depth == 0 or RequestRecord.objects.exists())
    connection.close()
    shut(postgres, open_again=False)
    try:
        for number in range(1000):
            recorder.finished(entry(f"{number}"))
        store.wait_for(lambda: store.outages >= 3)
    finally:
        shut(postgres, open_again=True)
    store.wait_for(lambda: RequestRecord.objects.count() == 1001)
    recorder.stop(5)
    assert recorder.depth == 0


def rows() -> list[list[tuple[Any, ...]]]:
    """Everything that storing writes, but for serial numbers."""
    tables = (RequestRecord, LedgerEntry, *SUMS, KeyUse)
    columns = [
        [name for field in table._meta.concrete_fields if (name := field.attname) not in ("id", "posted_at")]
        for table in tables
    ]
    return [
        sorted(table._default_manager.values_list(*names), key=repr)
        for table, names in zip(tables, columns, strict=True)
    ]


@pytest.mark.postgres
def test_lines_of_the_spool_are_stored_as_their_entries_are(postgres: str) -> None:
    extra = Line(1, "advisor", 0, "main", "two", tokens_output=5, cost_usd=Decimal("0.000000000012"), price={"id": 7})
    found = [
        entry(
            f"{number}", tags={"b": "ü", "a": "1"}, key_prefix="gw_1", team="t", lines=[extra], cost_usd=Decimal("1.5")
        )
        for number in range(30)
    ]
    store_records([*found, entry("0", team="late")])
    expected = rows()
    for table in (RequestRecord, LedgerEntry, *SUMS, KeyUse):
        table.objects.all().delete()
    assert store_lines([encode(FINAL, each) for each in (*found, entry("0", team="late"))])
    assert store_lines([encode(FINAL, found[3])]), "what is stored already is passed over"
    assert rows() == expected


def test_a_text_that_only_spells_a_nul_is_stored_as_it_is(any_database: str) -> None:
    for number, text in enumerate(("\\u0000", "\\\\u0000", "a\\\x00", "\\u0000\x00")):
        found = entry(f"{number}", user_agent=text, tags={"t": text})
        if not store_lines([encode(FINAL, found)]):
            store_records([found])
        record = RequestRecord.objects.get(request_id=f"{number}")
        if any_database != "sqlite":
            assert record.user_agent == text.replace("\x00", "\ufffd")


@pytest.mark.postgres
@pytest.mark.parametrize(
    "odd",
    [
        b'{"r":{"request_id":"b","started_at":1,"tokens_input":"many"}}\n',
        b'{"r":{"request_id":"b","started_at":1,"team":"\\u0000"}}\n',
        b'{"r":{"request_id":"b","started_at":-1}}\n',
        b'{"r":{"request_id":"b","started_at":null}}\n',
        b'{"r":{"request_id":"b","started_at":1,"team":"\xff"}}\n',
        b'{"r":{"request_id":"b","started_at":1,"tokens_input":1e300}}\n',
        b'{"r":{"request_id":"b","st\n',
        b'{"r":[]}\n',
    ],
)
def test_a_line_that_has_to_be_looked_at_stores_nothing_of_its_batch(postgres: str, odd: bytes) -> None:
    assert not store_lines([encode(FINAL, entry("a")), odd])
    assert not RequestRecord.objects.exists()
    assert store_lines([encode(FINAL, entry("a"))])


@pytest.mark.postgres
def test_odd_lines_among_good_ones_end_where_they_belong(postgres: str, tmp_path: Path) -> None:
    """The good ones in the database, what nobody can read in quarantine, what can be made fit made fit."""
    recorder = Recorder(tmp_path / "spool", store=store_records, store_lines=store_lines, interval=0.01)
    left = tmp_path / "spool" / "1-dead"
    left.mkdir(parents=True)
    torn = b'{"r":{"request_id":"torn","started_at":1,"tokens_input":"many"}}\n'
    lines = [encode(FINAL, entry("good")), torn, encode(FINAL, entry("nul", team="a\x00b"))]
    (left / "0000000001.jsonl").write_bytes(b"".join(lines))
    recorder.start()
    recorder.wait_for_the_dead(20)
    recorder.stop(10)
    assert sorted(RequestRecord.objects.values_list("request_id", "team")) == [("good", ""), ("nul", "a\ufffdb")]
    assert (tmp_path / "spool" / "quarantine.jsonl").read_bytes() == torn
