"""The models of a team: only what it may use, with the prices in force; trying one is for members."""

from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from accounting.audit.changes import Actor, changing
from accounting.models import Membership, Price, Team
from accounting.money.price_store import load_price_book
from routing import offers
from routing.models import ModelAlias, RouteTarget
from routing.snapshot import load_snapshot
from tests.pages.conftest import World, make_record, signed_in

LIST = "/teams/platform/models/"
ONE = f"{LIST}claude-sonnet-4-5/"


def _alias(world: World, name: str, **fields: object) -> None:
    with changing(Actor("test", "system")) as change:
        change.save(ModelAlias(name=name, route=world.route, **fields))


def test_a_team_sees_the_names_that_it_may_use(world: World) -> None:
    _alias(world, "claude-opus-5-5")
    Team.objects.update(allowed_models=["claude-sonnet-*"])
    page = signed_in(world.stranger).get(LIST).content.decode()
    assert "claude-sonnet-4-5" in page
    assert "claude-opus-5-5" not in page
    assert signed_in(world.stranger).get(f"{LIST}claude-opus-5-5/").status_code == 404


def test_prices_are_those_in_force_of_each_kind(world: World) -> None:
    rates = {"input": 7, "output": 41, "cache_write_5m": 8, "cache_write_1h": 14, "cache_read": Decimal("0.75")}
    valid = datetime(2026, 1, 1, tzinfo=UTC)
    Price.objects.create(provider="main", model="claude-sonnet-4-5", valid_from=valid, **rates)
    for address in (LIST, ONE):
        page = signed_in(world.stranger).get(address).content.decode()
        for shown in ("$7.00<", "$41.00<", "$8.00<", "$14.00<", "$0.75<"):
            assert shown in page, (address, shown)


def test_a_model_without_a_price_says_that_the_default_is_billed(world: World) -> None:
    RouteTarget.objects.update(model="strange-model-1")
    assert b"billed at the default" in signed_in(world.stranger).get(LIST).content
    assert b"billed at the default" in signed_in(world.stranger).get(ONE).content


def test_deprecated_names_say_what_comes_next(world: World) -> None:
    ends = {"deprecated_on": datetime(2026, 1, 1, tzinfo=UTC), "successor": "claude-sonnet-4-5"}
    _alias(world, "claude-old", retires_on=datetime(2099, 1, 1, tzinfo=UTC), **ends)
    assert b"Use claude-sonnet-4-5 instead" in signed_in(world.stranger).get(f"{LIST}claude-old/").content


def test_search_narrows_by_name(world: World) -> None:
    _alias(world, "claude-opus-5-5", display_name="The big one")
    page = signed_in(world.stranger).get(LIST, {"q": "BIG"}).content.decode()
    assert "claude-opus-5-5" in page
    assert "claude-sonnet-4-5" not in page


@pytest.mark.parametrize("address", [LIST, ONE])
def test_pages_need_few_queries_where_a_gateway_runs(
    address: str, world: World, django_assert_max_num_queries: DjangoAssertNumQueries, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(20):
        _alias(world, f"claude-more-{number}")
    house = SimpleNamespace(snapshot=load_snapshot(), billing=SimpleNamespace(book=load_price_book()))
    monkeypatch.setattr(offers, "running", lambda: SimpleNamespace(house=house))
    browser = signed_in(world.stranger)
    with django_assert_max_num_queries(14):
        assert browser.get(address).status_code == 200


def test_trying_is_for_members(world: World) -> None:
    values = {"prompt": "hello", "project": "default", "max_tokens": "10"}
    Membership.objects.update(role="viewer")
    viewer = signed_in(world.stranger)
    assert viewer.post(f"{ONE}try/", values).status_code == 403
    assert b"Members of the team can try" in viewer.get(ONE).content
    for who in (world.admin, world.auditor):
        assert signed_in(who).post(f"{ONE}try/", values).status_code == 403
    Membership.objects.all().delete()
    assert signed_in(world.stranger).post(f"{ONE}try/", values).status_code == 404
    assert Client().post(f"{ONE}try/", values).status_code == 302


@pytest.mark.parametrize("wrong", [{"prompt": ""}, {"project": "nowhere"}, {"max_tokens": "0"}, {"max_tokens": "x"}])
def test_a_form_that_cannot_be_sent_keeps_what_was_typed(wrong: dict[str, str], world: World) -> None:
    values = {"prompt": "keep this", "project": "default", "max_tokens": "10", **wrong}
    answer = signed_in(world.stranger).post(f"{ONE}try/", values)
    assert answer.status_code == 400
    assert b"errorlist" in answer.content
    assert "prompt" in wrong or b"keep this" in answer.content


def test_what_was_tried_is_shown_to_whoever_did(world: World) -> None:
    make_record(request_id="req_tried", user="sam@example.org", key="try-it", cost_usd=Decimal("0.0123"))
    address = f"{LIST}tried/req_tried/"
    assert b"$0.0123" in signed_in(world.stranger).get(address).content
    assert signed_in(world.admin).get(address).status_code == 404
    assert signed_in(world.stranger).get(f"{LIST}tried/req_1/").status_code == 404
