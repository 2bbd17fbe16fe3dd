"""When a key was used last is known without looking through records, whatever the order in which batches arrive."""

from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounting.models import KeyUse
from accounting.money import key_use
from accounting.money.entry import Entry
from accounting.money.prepared import run
from accounting.money.store import store_records, store_row_by_row

OWN, IMPORTED = "gw_abcdefgh", "imported"
START = 1_800_000_000.25


def entry(name: str, prefix: str = OWN, after: float = 0.0, **fields: Any) -> Entry:
    return Entry(request_id=name, started_at=START + after, key_prefix=prefix, **{"team": "platform", **fields})


def at(after: float) -> datetime:
    return datetime.fromtimestamp(START + after, UTC)


def test_the_latest_of_a_batch_is_kept_with_address_and_client(any_database: str) -> None:
    store_records(
        [
            entry("a", after=1, client_ip="192.0.2.1", user_agent="old"),
            entry("b", after=9, client_ip="192.0.2.2", user_agent="claude-cli/2.1"),
            entry("c", after=5, client_ip="192.0.2.3"),
            entry("d", prefix=""),
        ]
    )
    use = KeyUse.objects.get()
    assert (use.last_at, use.client_ip, use.user_agent) == (at(9), "192.0.2.2", "claude-cli/2.1")


def test_a_batch_that_comes_late_or_twice_turns_nothing_back(any_database: str) -> None:
    for batch in (
        [entry("b", after=9, client_ip="new")],
        [entry("a", after=1, client_ip="old")],
        [entry("b", after=9)],
    ):
        store_records(batch)
    use = KeyUse.objects.get()
    assert (use.last_at, use.client_ip) == (at(9), "new")
    store_records([entry("c", after=20, client_ip="newer")])
    assert KeyUse.objects.get().client_ip == "newer"


def test_imported_keys_of_one_prefix_are_told_apart_by_their_teams(any_database: str) -> None:
    store_records([entry("a", IMPORTED), entry("b", IMPORTED, team="other"), entry("c"), entry("d", team="renamed")])
    assert sorted(KeyUse.objects.values_list("key_prefix", "team")) == [
        (OWN, ""),
        (IMPORTED, "other"),
        (IMPORTED, "platform"),
    ]


def test_texts_that_no_column_holds_cost_no_record_and_no_use(any_database: str) -> None:
    store_records([entry("a", user_agent="x" * 5000, client_ip="nul \x00 inside")])
    store_row_by_row([entry("b", IMPORTED, user_agent="\ud800" + "y" * 400)])
    assert KeyUse.objects.get(key_prefix=OWN).user_agent == "x" * 300
    assert len(KeyUse.objects.get(key_prefix=IMPORTED).user_agent) == 300


def test_a_batch_costs_one_statement_more_whatever_the_number_of_keys(
    any_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared: list[bytes] = []

    def noted(connection: Any, statement: bytes, parameter: bytes) -> None:
        prepared.append(statement)
        run(connection, statement, parameter)

    monkeypatch.setattr(key_use, "run", noted)
    with CaptureQueriesContext(connection) as captured:
        store_records([entry(f"a{each}", f"gw_{each:08}") for each in range(300)])
    said = [query["sql"] for query in captured.captured_queries if "keyuse" in query["sql"]]
    assert len(said) + len(prepared) == 1
    assert KeyUse.objects.count() == 300


@pytest.mark.django_db
def test_an_upgrade_looks_back_once_for_keys_that_were_used_before() -> None:
    from accounting.models import RequestRecord
    from tests.accounting.test_directory import new_key, project

    secret = new_key(project())
    for days in (3, 1, 2):
        fields = {"client_format": "anthropic", "operation": "messages", "status": 200, "outcome": "served"}
        RequestRecord.objects.create(
            request_id=f"r{days}", started_at=at(0) - timedelta(days=days), team="platform", key_prefix=secret[:11],
            client_ip=f"192.0.2.{days}", duration_ms=1.0, **fields,
        )  # fmt: skip
    import_module("accounting.migrations.0011_keys").look_back(apps, None)
    assert KeyUse.objects.values_list("key_prefix", "team", "client_ip").get() == (secret[:11], "", "192.0.2.1")
