"""Rows of prices are added and never changed; processes read them whole; what had no price is listed until it has one."""

import csv
import io
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
import yaml
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.utils import timezone

from accounting.audit.changes import Actor, changing
from accounting.models import AuditEvent, Price, Revision, UnknownModelPrice, UnpricedModel
from accounting.money.price_list import LIST_2026_11_20, rows_of
from accounting.money.price_store import (
    Unpriced,
    add_price,
    load_price_book,
    set_unknown_price,
    still_unpriced,
    store_unpriced,
)
from accounting.money.pricing import price_usage
from accounting.money.usage import Usage
from accounting.services import create_admin
from routing.declarative import export_config, import_config
from tests.accounting.test_api_records import token
from tests.money.books import NOW
from tests.money.usage_cases import PRICES, UNKNOWN_PRICE
from tests.pages.conftest import PASSWORD, make_record

pytestmark = pytest.mark.django_db
ACTOR = Actor("ada@example.org", "user")
RATES = {
    "input": Decimal(1),
    "output": Decimal(2),
    "cache_write_5m": Decimal(3),
    "cache_write_1h": Decimal(4),
    "cache_read": Decimal(5),
}


@pytest.fixture(autouse=True)
def _list_is_there() -> None:
    """Tests of other rooms may have emptied the database that this one shares with them."""
    if not Price.objects.filter(shipped=True).exists():
        Price.objects.bulk_create(
            Price(shipped=True, **values) for listed in LIST_2026_11_20 for values in rows_of(listed)
        )


def new(**fields: Any) -> Price:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return Price(**{"provider": "*", "model": "claude-x", "valid_from": start, **RATES, **fields})


def added(**fields: Any) -> Price:
    price = new(**fields)
    with changing(ACTOR) as change:
        assert add_price(change, price)
    return price


def applied(content: dict[str, Any], **options: Any) -> tuple[str, ...]:
    return import_config(yaml.safe_dump({"version": 1, **content}).encode(), environ={}, **options).lines


def test_the_list_is_there_from_the_start() -> None:
    book = load_price_book()
    price = book.row("anybody", "us.anthropic.claude-opus-5-5", NOW)
    assert price is not None
    assert price.shipped
    assert price.fast is not None
    assert (price.rates.input, price.fast.input, price.batch) == (Decimal(4), Decimal(8), Decimal("0.5"))
    assert book.unknown.rates.input == 15


def test_a_new_row_is_audited_and_noticed_and_no_key_is_read_again() -> None:
    before = dict(Revision.objects.values_list("name", "number"))
    price = added()
    now = dict(Revision.objects.values_list("name", "number"))
    assert now.pop("prices") == before.pop("prices", 0) + 1
    assert now == before
    event = AuditEvent.objects.get(object_type="price")
    assert (event.action, event.actor, event.object_name) == ("created", "ada@example.org", str(price))
    found = load_price_book().row("p", "claude-x", NOW)
    assert found is not None
    assert found.id == price.pk


def test_the_same_row_again_changes_nothing() -> None:
    added()
    with changing(ACTOR) as change:
        assert not add_price(change, new())
    assert Price.objects.filter(shipped=False).count() == 1


@pytest.mark.parametrize("changed", [{"input": Decimal(9)}, {"geo_multipliers": {"us": "1.1"}}, {"long_above": 5}])
def test_another_row_of_the_same_moment_is_refused(changed: dict[str, Any]) -> None:
    added()
    with pytest.raises(ValidationError, match="Prices are never changed"), changing(ACTOR) as change:
        add_price(change, new(**changed))


def test_a_row_is_never_changed() -> None:
    price = added()
    price.input = Decimal(9)
    with pytest.raises(ValidationError, match="never changed"), changing(ACTOR) as change:
        change.save(price)


def test_a_later_row_takes_over_and_the_past_keeps_its_own() -> None:
    added()
    added(valid_from=datetime(2026, 6, 1, tzinfo=UTC), input=Decimal("0.9"))
    book = load_price_book()
    days = [datetime(2026, month, 15, tzinfo=UTC).timestamp() for month in (5, 6)]
    assert [row.rates.input for row in (book.row("p", "claude-x", day) for day in days) if row] == [1, Decimal("0.9")]


@pytest.mark.parametrize(
    "fields",
    [
        {"input": Decimal(-1)}, {"input": Decimal("NaN")}, {"input": Decimal("Infinity")}, {"input": Decimal(10_001)},
        {"batch_multiplier": Decimal(-1)}, {"batch_multiplier": Decimal("NaN")}, {"long_above": 5},
        {"fast_input": Decimal(1)}, {"geo_multipliers": {"us": "NaN"}}, {"geo_multipliers": {"us": True}},
        {"geo_multipliers": {"": 1}}, {"geo_multipliers": [1]}, {"model": ""}, {"model": "a b"}, {"provider": "a*"},
    ],
)  # fmt: skip
def test_what_is_no_price_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError), changing(ACTOR) as change:
        add_price(change, new(**fields))
    assert not Price.objects.filter(shipped=False).exists()


@pytest.mark.parametrize("column", ["input", "batch_multiplier", "fast_input", "web_search_per_1000"])
def test_the_database_refuses_negative_amounts_by_itself(column: str) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Price.objects.bulk_create([new(**{column: Decimal(-1)})])
    assert connection.is_usable()


def test_the_price_of_unknown_models() -> None:
    with changing(ACTOR) as change:
        set_unknown_price(change, {})
        assert not UnknownModelPrice.objects.exists()
        set_unknown_price(change, {"input": Decimal(20)})
        set_unknown_price(change, {"output": Decimal(90)})
    rates = load_price_book().unknown.rates
    assert (rates.input, rates.output, rates.cache_read) == (Decimal(20), Decimal(90), Decimal("1.5"))
    with pytest.raises(ValidationError), changing(ACTOR) as change:
        set_unknown_price(change, {"input": Decimal("NaN")})
    with pytest.raises(ValidationError, match="more than 0"), changing(ACTOR) as change:
        set_unknown_price(change, {"output": Decimal(0)})


# Models without a price


def test_models_without_a_price_are_added_up_and_listed_until_they_have_one() -> None:
    for _ in range(2):
        store_unpriced(
            {("main", "mystery-1", False): Unpriced(3, NOW), ("main", "claude-sonnet-5", True): Unpriced(1, NOW)}
        )
    now = timezone.now()
    rows = {(row.model, row.fast): row.calls for row in still_unpriced(now)}
    assert rows == {("mystery-1", False): 6, ("claude-sonnet-5", True): 2}
    added(model="mystery-*")
    assert [row.model for row in still_unpriced(now)] == ["claude-sonnet-5"]
    assert UnpricedModel.objects.count() == 2


# The configuration file


def test_a_file_with_prices_is_applied_once_and_comes_out_again() -> None:
    content = {"prices": PRICES, "unknown_model_price": {**UNKNOWN_PRICE, "input": 16}}
    lines = applied(content)
    assert "created price *claude-plain* from 2025-09-29" in lines
    assert applied(content) == ()
    assert applied({"version": 1}, prune=True) == ()
    exported = yaml.safe_load(export_config().text)
    assert exported["unknown_model_price"]["input"] == 16
    assert len(exported["prices"]) == len(PRICES)
    Price.objects.filter(shipped=False).delete()
    UnknownModelPrice.objects.all().delete()
    text = export_config().text
    applied({"prices": exported["prices"], "unknown_model_price": exported["unknown_model_price"]})
    assert yaml.safe_load(export_config().text) == exported
    assert yaml.safe_load(text)["prices"] == []
    plain = Price.objects.get(model="*claude-plain*")
    assert (plain.long_above, plain.long_output, plain.fast_cache_read) == (200000, Decimal("22.5"), Decimal(3))
    assert plain.geo_multipliers == {"us": "1.1"}


def test_a_changed_price_in_the_file_is_refused_with_its_place() -> None:
    applied({"prices": PRICES})
    with pytest.raises(Exception, match=r"prices\[0\]: There is another price for \*claude-plain\* from 2025-09-29"):
        applied({"prices": [{**PRICES[0], "input": 4}]})


# The REST API and the console


def test_everybody_with_a_token_reads_prices() -> None:
    added(long_above=5, **{f"long_{name}": value for name, value in RATES.items()})
    client = Client(headers={"authorization": f"Bearer {token()}"})
    (row,) = client.get("/api/v1/prices/", {"shipped": "false"}).json()["results"]
    assert (row["model"], row["input"], row["batch_multiplier"]) == ("claude-x", "1", "1")
    assert row["long_context"] == {"above": 5, **{name: str(value) for name, value in RATES.items()}}
    assert row["fast"] is None
    assert client.get("/api/v1/prices/", {"model": "claude-opus-5-5"}).json()["count"] == 1
    table = client.get("/api/v1/prices/", {"shipped": "false"}, headers={"accept": "text/csv"})
    assert table["content-type"] == "text/csv; charset=utf-8"
    (row,) = csv.DictReader(io.StringIO(table.getvalue().decode()))
    assert (row["model"], row["input"], row["shipped"], row["fast"]) == ("claude-x", "1", "false", "")
    assert json.loads(row["long_context"])["above"] == 5
    assert Client().get("/api/v1/prices/").status_code == 401
    assert client.post("/api/v1/prices/", {}).status_code == 405


@pytest.fixture
def console() -> Client:
    with changing(Actor("set-up", "system")) as change:
        user = create_admin(change, "grace@example.org", PASSWORD)
    client = Client()
    client.force_login(user)
    return client


def test_prices_are_added_in_the_console_and_not_changed(console: Client) -> None:
    store_unpriced({("main", "mystery-1", False): Unpriced(3, timezone.now().timestamp())})
    page = console.get("/admin/accounting/price/").content.decode()
    assert "mystery-1" in page
    assert "?provider=main&amp;model=mystery-1" in page
    form = {**{name: str(value) for name, value in RATES.items()}, "provider": "main", "model": "mystery-1",
            "valid_from": "2026-01-01T00:00:00", "batch_multiplier": "1", "web_search_per_1000": "10",
            "geo_multipliers": "us: 1.1"}  # fmt: skip
    assert console.post("/admin/accounting/price/add/", form).status_code == 302
    price = Price.objects.get(model="mystery-1")
    assert (price.geo_multipliers, price.shipped) == ({"us": "1.1"}, False)
    assert "Every model that was used has a price" in console.get("/admin/accounting/price/").content.decode()
    address = f"/admin/accounting/price/{price.pk}/change/"
    assert console.get(address).status_code == 200
    assert console.post(address, {**form, "input": "9"}).status_code == 403
    again = console.post("/admin/accounting/price/add/", {**form, "input": "9"})
    assert "Prices are never changed" in again.content.decode()
    assert Price.objects.filter(model="mystery-1").count() == 1


def test_the_price_of_unknown_models_is_changed_in_the_console(console: Client) -> None:
    address = "/admin/accounting/unknownmodelprice/1/change/"
    assert console.get("/admin/accounting/unknownmodelprice/").headers["location"] == address
    for value in ("16", "17"):
        page = console.get(address).content.decode()
        seen = page.split('name="version_seen"')[1].split('value="')[1].split('"')[0] if "version_seen" in page else ""
        form = {**{name: str(amount) for name, amount in RATES.items()}, "input": value, "version_seen": seen}
        assert console.post(address, form).status_code == 302
        assert load_price_book().unknown.rates.input == Decimal(value)


def test_a_records_page_shows_the_sum_with_its_numbers(console: Client) -> None:
    usage = Usage()
    usage.update({"input_tokens": 1000, "output_tokens": 100, "inference_geo": "us", "service_tier": "batch",
                  "server_tool_use": {"web_search_requests": 2}})  # fmt: skip
    (line,) = price_usage(usage, "main", "claude-sonnet-4-5", NOW, load_price_book())
    record = make_record(tokens_input=1000, tokens_output=100, web_searches=2, cost_usd=line.cost_usd, price=line.price,
                         session_id="s", resend_of="req_0")  # fmt: skip
    page = console.get(f"/admin/accounting/requestrecord/{record.pk}/change/").content.decode()
    # (0.003 + 0.0015) x 0.5 x 1.1 + 0.02
    for text in (
        "$3 / million",
        "$0.003",
        "$0.0015",
        "0.5 (batch)",
        "1.1 (region)",
        "$10 / 1,000",
        "$0.02",
        "$0.022475",
    ):
        assert text in page, text
    assert "req_0" in page
    several = make_record(request_id="req_2", tokens_input=1, cost_usd=Decimal(7), price=line.price)
    page = console.get(f"/admin/accounting/requestrecord/{several.pk}/change/").content.decode()
    assert "the sum of several model calls" in page


def test_the_overview_tells_of_a_model_without_a_price(console: Client) -> None:
    store_unpriced({("main", "mystery-1", False): Unpriced(3, timezone.now().timestamp())})
    assert "The model mystery-1 has no price." in console.get("/admin/").content.decode()
