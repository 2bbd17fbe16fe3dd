"""Comparing what the gateway has written down with what the provider has: request by request, and sum by sum."""

import http.client
import json
import sqlite3
from collections.abc import Iterable
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import psycopg

from tests.fake_provider import FakeProvider
from tests.harness import Gateway, wait_until

KINDS = {
    "input": ("tokens_input", "input_tokens"),
    "output": ("tokens_output", "output_tokens"),
    "cache_read": ("tokens_cache_read", "cache_read_input_tokens"),
}
Sums = dict[str, Any]


def rows(gateway: Gateway, sql: str, url: str = "") -> list[tuple[Any, ...]]:
    """A query of the gateway's own database: the one at `url`, or SQLite in its data folder."""
    if url:
        with psycopg.connect(url) as connection:
            return list(connection.execute(sql.encode()).fetchall())
    file = sqlite3.connect(f"file:{gateway.data / 'gateway.sqlite3'}?mode=ro", uri=True)
    try:
        return list(file.execute(sql).fetchall())
    finally:
        file.close()


def wait_adopted(gateway: Gateway, timeout: float = 30) -> None:
    """Until what dead processes left is stored: their folders are gone, and no more records come."""
    spool = gateway.data / "spool"
    living = lambda: len([path for path in spool.iterdir() if path.is_dir()]) == 1  # noqa: E731
    wait_until(living, timeout=timeout, what="the spools of dead processes to be stored")


def usage(gateway: Gateway, **query: str) -> list[Sums]:
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
    path = "/api/v1/usage/?" + urlencode({"page_size": 1000, **query})
    connection.request("GET", path, headers={"authorization": f"Bearer {gateway.token}"})
    response = connection.getresponse()
    body = response.read()
    connection.close()
    assert response.status == 200, body
    found: list[Sums] = json.loads(body)["results"]
    return found


def assert_agree(gateway: Gateway, provider: FakeProvider, answered: Iterable[str], url: str = "") -> None:
    """Records, ledger, roll-ups and the provider's books are one: each answered request as the provider counted it."""
    assert "agree" in gateway.manage("check_ledger")
    columns = ", ".join(column for column, _ in KINDS.values())
    stored = rows(
        gateway, f"SELECT request_id, upstream_request_id, outcome, {columns} FROM accounting_requestrecord", url
    )
    records = {row[0]: row[1:] for row in stored}
    assert len(records) == len(stored)
    for request_id in answered:
        upstream_id, outcome, *counts = records[request_id]
        book = provider.books[upstream_id]
        assert (request_id, outcome, counts) == (
            request_id,
            "served",
            [book.get(name, 0) for _, name in KINDS.values()],
        )
    _same_sums(gateway, records, url)


def _same_sums(gateway: Gateway, records: dict[str, tuple[Any, ...]], url: str) -> None:
    total = usage(gateway)[0]
    assert total["requests"] == len(records)
    for place, kind in enumerate(KINDS, start=2):
        assert total[kind] == sum(row[place] for row in records.values()), kind
    listed = gateway.records()
    assert {record["request_id"] for record in listed} == set(records)
    by_day = usage(gateway, group_by="team,key,model,day")
    assert sum(row["requests"] for row in by_day) == len(records)
    if "cost_usd" in listed[0]:
        cost = sum((Decimal(record["cost_usd"]) for record in listed), Decimal(0))
        assert Decimal(total["cost_usd"]) == sum(Decimal(row["cost_usd"]) for row in by_day) == cost
    lines = rows(gateway, "SELECT count(*), sum(tokens_input), sum(tokens_output) FROM accounting_ledgerentry", url)[0]
    if lines[0]:
        assert tuple(lines[1:]) == (total["input"], total["output"])
