"""Nothing that a caller sends makes the REST API fail: bodies that no text can be, and moments at the calendar's edge."""

import json
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from accounting.audit.changes import Actor, changing
from accounting.models import VirtualKey
from accounting.services import create_api_token
from tests.pages.conftest import World

KEYS = "/api/v1/keys/"
JSON = "application/json"
EDGES = (
    "0001-01-01T00:00:00+14:00", "0001-01-01", "1899-12-31T23:59:59Z", "9001-01-01T00:00:00Z", "9999-12-31T23:59:59-12:00",
    "9999-12-31T23:59:59",
)  # fmt: skip
MOMENTS = (
    "requests/?since=", "requests/?until=", "ledger/?since=", "audit-events/?until=", "sessions/?since=", "sessions/?until=",
    "usage/?since=", "usage/?until=", "usage/?timezone=Asia/Tokyo&group_by=day&since=", "usage/focus/?until=",
    "usage/latency/?since=", "usage/outcomes/?until=",
)  # fmt: skip


@pytest.fixture
def caller(world: World) -> Client:
    """An administrator's token."""
    with changing(Actor("tests", "system")) as change:
        secret = create_api_token(change, "all", role="admin")[1]
    return Client(headers={"authorization": f"Bearer {secret.reveal()}"})


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (rb'{"name": "\ud800", "project": "default"}', "surrogate"),
        (rb'{"name": "k", "project": "default", "tags": {"\udfff": "x"}}', "surrogate"),
        (b'{"name": ' + b"[" * 200 + b"]" * 200 + b"}", "levels"),
        (b"[" * 100_000, "levels"),
        (b'{"a":' * 100_000, "levels"),
        (b'{"name": NaN}', "NaN"),
        (b'{"budget": 1e999}', "too large"),
        (b'{"budget": ' + b"9" * 5000 + b"}", "JSON parse error"),
        (b'{"name": "\xff"}', "utf-8"),
        ('{"name": "k"}'.encode("utf-16"), "utf-8"),
    ],
)
def test_a_body_that_is_no_json_is_refused_with_a_sentence(body: bytes, says: str, caller: Client) -> None:
    answer = caller.post(KEYS, body, JSON)
    assert answer.status_code == 400
    assert says in answer.json()["detail"]
    assert VirtualKey.objects.count() == 1


@pytest.mark.parametrize("charset", ["hex", "utf-16", "no-such"])
def test_json_is_read_as_utf_8_whatever_the_header_says(charset: str, caller: Client) -> None:
    body = json.dumps({"name": "k", "project": "default", "tags": {"for": "日本"}}, ensure_ascii=False).encode()
    answer = caller.generic("POST", KEYS, body, f"{JSON}; charset={charset}")
    assert answer.json()["tags"] == {"for": "日本"}


def test_a_body_of_any_depth_below_the_bound_is_read(world: World, caller: Client) -> None:
    body = {"key": world.key.prefix, "model": "claude-sonnet-4-5"}
    nested: Any = {"type": "object"}
    for _ in range(40):
        nested = {"properties": nested}
    tools = {"model": "claude-sonnet-4-5", "messages": [], "tools": [{"input_schema": nested, "name": "\U0001f600"}]}
    assert caller.post("/api/v1/explain/", {**body, "body": tools}, JSON).status_code == 200


def test_a_body_is_not_read_without_end(caller: Client, settings: Settings) -> None:
    settings.GATEWAY_MAX_BODY_BYTES = 1024
    answer = caller.post(KEYS, b'"' + b"x" * 2000 + b'"', JSON)
    assert answer.status_code == 413
    assert answer.json() == {"detail": "This body is too large."}


@pytest.mark.parametrize("edge", EDGES)
def test_a_filter_by_a_moment_at_the_calendars_edge_is_refused(edge: str, caller: Client) -> None:
    for question in MOMENTS:
        path, _, query = question.rpartition("&" if "&" in question else "?")
        name = query.removesuffix("=")
        joined = "&" if "&" in question else "?"
        answer = caller.get(f"/api/v1/{path}{joined}{name}={edge.replace('+', '%2B')}")
        assert answer.status_code == 400, question
        assert answer.json()[name] == ["A moment of the years 1900 to 9000."], question


@pytest.mark.parametrize("edge", EDGES)
def test_a_moment_at_the_calendars_edge_is_not_stored(edge: str, world: World, caller: Client) -> None:
    row = {"budget": world.budget.pk, "amount": "5", "until": edge, "reason": "more"}
    raised = {"amount": "1", "until": edge, "reason": "more"}
    for method, path, body in (
        ("post", KEYS, {"name": "late", "project": "default", "expires_at": edge}),
        ("patch", f"{KEYS}{world.key.pk}/", {"expires_at": edge}),
        ("post", "/api/v1/budget-requests/", row),
        ("patch", f"/api/v1/budgets/{world.budget.pk}/", {"temporary_raise": raised}),
    ):
        answer = getattr(caller, method)(path, body, JSON)
        assert answer.status_code == 400, path
        assert b"of the years 1900 to 9000" in answer.content or b"out of range" in answer.content, answer.content


def test_moments_within_the_years_are_taken(caller: Client) -> None:
    for moment in ("1900-01-01T00:00:00Z", "9000-12-31T23:59:59-12:00", "2026-11-01 00:00:00 02:00"):
        for question in (
            "requests/?since=",
            "usage/?timezone=Pacific/Kiritimati&group_by=hour&since=",
            "ledger/?until=",
        ):
            assert caller.get(f"/api/v1/{question}{moment}").status_code == 200, question


@pytest.mark.parametrize("number", ["9" * 25, "9" * 5000, "-1", "0", "1e3", "\u0664"])
def test_pages_and_ids_that_cannot_be(number: str, caller: Client) -> None:
    for path in ("requests/?page=", "keys/?page=", "usage/?page=", "sessions/?page=", "audit-events/?page="):
        assert caller.get(f"/api/v1/{path}{number}").status_code == 404, path
    for path in (
        "audit-events/?before_id=",
        "requests/?status=",
        "alert-deliveries/?destination=",
        "budget-requests/?budget=",
    ):
        assert caller.get(f"/api/v1/{path}{number}").status_code in (200, 400), path
    if number.isascii() and number.isdigit():
        for path in ("keys", "budgets", "members", "alert-rules"):
            assert caller.get(f"/api/v1/{path}/{number}/").status_code == 404, path


def test_filters_do_not_tell_which_rows_there_are(caller: Client) -> None:
    for path in ("alert-deliveries/?destination=77777", "budget-requests/?budget=77777"):
        assert caller.get(f"/api/v1/{path}").json()["results"] == [], path
