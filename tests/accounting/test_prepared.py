"""PostgreSQL plans storing once for each connection; where it cannot, behind a pooler, nothing is lost and nothing twice."""

from pathlib import Path
from threading import Event
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.db import connection, transaction
from pytest_django.plugin import DjangoDbBlocker

from accounting.models import DailyUsage, HourlyUsage, LedgerEntry, RequestRecord, UsageDimension
from accounting.money import prepared
from accounting.money.agreement import differences
from accounting.money.bulk_postgres import begin, statement
from accounting.money.rollups import LEVELS
from accounting.money.store import store_at_once, store_records, store_row_by_row
from tests.accounting.conftest import new_postgres, own_database
from tests.accounting.ledgers import entry, line

KEPT = "SELECT name, generic_plans, custom_plans FROM pg_prepared_statements WHERE name LIKE 'gateway_%'"


@pytest.fixture(autouse=True)
def not_refused_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepared, "_refused", Event())


def asked(sql: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())


def do(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


def said(caplog: pytest.LogCaptureFixture) -> int:
    return sum("prepared statements are refused" in record.getMessage() for record in caplog.records)


def stored() -> list[str]:
    return sorted(RequestRecord.objects.values_list("request_id", flat=True))


@pytest.mark.postgres
class TestOnceForEachConnection:
    def test_batches_of_one_connection_share_a_plan(self, postgres: str) -> None:
        for name in "abcdefg":
            store_records([entry(name, line(0, tokens_input=1))])
        assert [(generic, custom) for _, generic, custom in asked(KEPT)] == [(7, 0)]

    def test_bounded_sums_are_a_statement_of_their_own(self, postgres: str) -> None:
        store_records([entry("a", line(0))])
        store_row_by_row([entry("b", line(0))])
        store_records([entry("c", line(0))])
        assert sorted(generic for _, generic, _ in asked(KEPT)) == [1, 2]

    def test_a_new_connection_begins_anew(self, postgres: str) -> None:
        store_records([entry("a", line(0))])
        connection.close()
        store_records([entry("b", line(0))])
        assert [generic for _, generic, _ in asked(KEPT)] == [1]
        assert stored() == ["a", "b"]

    def test_a_refused_value_leaves_the_plan_in_place(self, postgres: str) -> None:
        store_records([entry("a", line(0))])
        store_records([entry("b", line(0, tokens_input=2**80)), entry("c", line(0))])
        store_records([entry("d", line(0))])
        assert stored() == ["a", "b", "c", "d"]
        assert max(generic for _, generic, _ in asked(KEPT)) == 3

    def test_other_statements_of_the_connection_are_not_prepared(self, postgres: str) -> None:
        for name in "abcdefghij":
            store_records([entry(name, line(0))])
        assert asked("SELECT count(*) FROM pg_prepared_statements") == [(1,)]

    def test_settings_of_storing_end_with_it(self, postgres: str) -> None:
        store_records([entry("a", line(0))])
        assert asked("SHOW plan_cache_mode") == [("auto",)]
        assert asked("SHOW enable_seqscan") == [("on",)]


@pytest.mark.postgres
def test_the_plan_reads_no_table_as_a_whole_even_where_one_has_a_single_page(postgres: str) -> None:
    """It is made once, perhaps for an empty installation, and must do when that has grown."""
    store_records([entry("a", line(0))])
    do("ANALYZE")
    store_records([entry("b", line(0))])
    with transaction.atomic():
        begin()
        plan = "\n".join(row[0] for row in asked(f"EXPLAIN EXECUTE {asked(KEPT)[0][0]} ('[]')"))
    assert "Index Only Scan using accounting_usagedimension_pkey" in plan
    assert "Seq Scan" not in plan


@pytest.mark.postgres
class TestRefused:
    """As behind a pooler that gives each transaction another of its connections."""

    def check(self, caplog: pytest.LogCaptureFixture) -> None:
        assert stored() == ["a", "b", "c", "d"]
        assert LedgerEntry.objects.count() == 4
        assert differences() == []
        assert said(caplog) == 1

    def test_what_was_prepared_is_not_there(self, postgres: str, caplog: pytest.LogCaptureFixture) -> None:
        store_records([entry("a", line(0, tokens_input=1))])
        do("DEALLOCATE ALL")
        for name in "bcd":
            store_records([entry(name, line(0, tokens_input=1))])
        self.check(caplog)
        assert asked(KEPT) == []

    def test_another_client_has_prepared_it(self, postgres: str, caplog: pytest.LogCaptureFixture) -> None:
        store_records([entry("a", line(0, tokens_input=1))])
        name = asked(KEPT)[0][0]
        connection.close()
        do(f"PREPARE {name} (json) AS SELECT $1")
        for each in "bcd":
            store_records([entry(each, line(0, tokens_input=1))])
        self.check(caplog)

    def test_inside_a_transaction_that_goes_on(self, postgres: str, caplog: pytest.LogCaptureFixture) -> None:
        store_records([entry("a", line(0, tokens_input=1))])
        do("DEALLOCATE ALL")
        with transaction.atomic():
            store_at_once([entry("b", line(0, tokens_input=1)), entry("c", line(0, tokens_input=1))])
            store_at_once([entry("d", line(0, tokens_input=1))])
        self.check(caplog)

    def test_values_that_no_column_holds_are_still_made_fit(
        self, postgres: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        store_records([entry("a", line(0, tokens_input=1))])
        do("DEALLOCATE ALL")
        store_records(
            [entry("b", line(0, tokens_input=1)), entry("c", line(0, tokens_input=2**80)), entry("d", line(0))]
        )
        self.check(caplog)


@pytest.mark.postgres
@pytest.mark.parametrize("refused", [False, True], ids=["prepared", "not prepared"])
def test_a_connection_that_was_cut_is_an_outage(postgres: str, refused: bool) -> None:
    if refused:
        prepared._refused.set()
    with psycopg.connect(postgres) as ours, psycopg.connect(postgres, autocommit=True) as other:
        prepared.run(ours, b"SELECT $1::int", b"1")
        other.execute("SELECT pg_terminate_backend(%s)", [ours.info.backend_pid])
        for _ in range(2):
            with pytest.raises(psycopg.OperationalError):
                prepared.run(ours, b"SELECT $1::int", b"1")


@pytest.mark.postgres
def test_what_the_database_refuses_has_its_own_class(postgres: str) -> None:
    with psycopg.connect(postgres) as ours, pytest.raises(psycopg.errors.InvalidTextRepresentation, match="integer"):
        prepared.run(ours, b"SELECT $1::int", b"one")


def key_columns() -> set[tuple[str, ...]]:
    """Of the primary keys of all levels, in their order."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            read = connection.introspection.get_constraints
            keys = [
                each["columns"]
                for level in LEVELS
                for each in read(cursor, level.table).values()
                if each["primary_key"]
            ]
        return {tuple(columns) for columns in keys}
    found = set()
    for level in LEVELS:
        places = {row[5]: row[1] for row in asked(f"PRAGMA table_info({level.table})")}
        found.add(tuple(places[place] for place in sorted(places) if place))
    return found


def test_roll_ups_are_kept_by_time_first(any_database: str) -> None:
    """So storing finds its rows on a few pages of the index: the newest."""
    assert key_columns() == {("bucket", "dimension_id")}


@pytest.mark.parametrize("vendor", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_what_is_stored_outlives_the_change_of_the_key_and_its_way_back(
    vendor: str, request: pytest.FixtureRequest, tmp_path: Path, django_db_blocker: DjangoDbBlocker
) -> None:
    def walk() -> None:
        store_records([entry("a", line(0, tokens_input=1)), entry("b", line(0, tokens_input=2), team="other")])
        for migration, columns in (("0013", ("dimension_id", "bucket")), ("0014", ("bucket", "dimension_id"))):
            call_command("migrate", "accounting", migration, verbosity=0)
            assert key_columns() == {columns}
            store_records([entry(migration, line(0, tokens_input=4))])
        assert differences() == []
        assert (HourlyUsage.objects.count(), DailyUsage.objects.count()) == (2, 2)
        assert UsageDimension.objects.count() == 2

    if vendor == "sqlite":
        request.getfixturevalue("sqlite")
        walk()
        return
    with new_postgres(tmp_path, django_db_blocker) as url, own_database(url, tmp_path, django_db_blocker):
        walk()


def test_a_name_says_which_statement_it_is() -> None:
    names = {prepared._name(statement(bounded)) for bounded in (False, True)}
    assert len(names) == 2
    assert all(len(name) < 64 for name in names)  # PostgreSQL cuts what is longer
