"""The ledger in the console: its list, a line with the formula of its cost, and the lines of a request."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounting.models import LedgerEntry
from accounting.money.lines import formula
from accounting.templatetags.console import dollars
from tests.pages.conftest import World, make_line

LIST = "/admin/accounting/ledgerentry/"


def test_the_list_shows_lines_and_narrows_them(world: World, console: Client) -> None:
    make_line(request_id="req_2", team="research", kind="failed", model="other-model")
    make_line(request_id="req_old", at=timezone.now() - timedelta(days=9), cost_usd=Decimal("7.77"))
    page = console.get(LIST).content.decode()
    assert "$0.004542" in page
    assert "other-model" in page
    assert "$7.77" not in page, "the last day, unless more is asked for"
    assert "$7.77" in console.get(f"{LIST}?when=any").content.decode()
    narrowed = console.get(f"{LIST}?team=research").content.decode()
    assert narrowed.count("$0.004542") == 1
    assert "$7.77" in console.get(f"{LIST}?q=req_old").content.decode()


def test_the_list_takes_few_queries_however_many_lines(world: World, console: Client) -> None:
    for number in range(60):
        make_line(request_id=f"req_many_{number}")
    with CaptureQueriesContext(connection) as queries:
        assert console.get(LIST).status_code == 200
    assert len(queries) < 12, [query["sql"] for query in queries]


def test_a_line_tells_how_its_cost_comes_about(world: World, console: Client) -> None:
    page = console.get(reverse("admin:accounting_ledgerentry_change", args=[world.line.pk])).content.decode()
    assert "(1,234 input × $3 + 56 output × $15) / 1,000,000 × 1.1 (geo) = $0.004542" in page
    assert reverse("admin:accounting_requestrecord_change", args=[world.record.pk]) in page


def test_the_page_of_a_request_shows_its_lines(world: World, console: Client) -> None:
    make_line(number=1, kind="adjustment", adjusts=0, reason="new contract", cost_usd=Decimal("-0.001"), tokens_input=0)
    page = console.get(reverse("admin:accounting_requestrecord_change", args=[world.record.pk])).content.decode()
    assert "corrects line 0: new contract" in page
    assert "-$0.001" in page


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"tokens_input": 5, "price": None}, "(5 input × $?) / 1,000,000"),
        ({"tokens_input": 5, "price": ["odd"]}, "(5 input × $?) / 1,000,000"),
        ({"web_searches": 2, "price": {"web_search_per_1000": "10"}}, "2 web searches × $10 / 1,000"),
        ({}, "no tokens"),
    ],
    ids=str,
)
def test_a_formula_holds_whatever_a_price_looks_like(fields: dict[str, object], text: str) -> None:
    assert formula(LedgerEntry(kind="usage", **fields)) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("0", "$0.00"),
        ("4", "$4.00"),
        ("0.012345", "$0.012345"),
        ("-1234.5", "-$1,234.50"),
        ("0.000000000001", "$0.000000000001"),
    ],
)
def test_money_reads_to_its_last_digit(value: str, text: str) -> None:
    assert dollars(Decimal(value)) == text
