"""Every address of a team, for everybody, reading and writing. A new page has to state its rules here before it is open.

What a page shows and does has tests of its own; here it is only asked who gets to it.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from pytest_django.plugin import DjangoDbBlocker

from accounting.access.roles import ROLES, at_least
from tests.pages.conftest import signed_in
from tests.pages.everybody import Everything, hostile_forms, kept_for_a_module, state, taken_back

# The least role that may write there. Addresses that only read and take no POST are not named.
WRITES: Mapping[str, str] = {
    "invite": "admin", "member": "admin", "member_removal": "admin", "member_hand_over": "owner",
    "invitation_withdrawal": "admin", "team": "owner", "new_project": "admin", "project": "admin",
    "key_new": "member", "key_change": "admin", "key_rotate": "admin", "key_revoke": "admin",
    "key_switch": "admin", "key_end_old": "admin", "setup": "viewer", "setup_check": "viewer",
    "budget_new": "admin", "budget_request": "admin", "budget_request_withdraw": "member", "budget_ask": "member",
    "budget_change": "admin", "budget_delete": "admin",
    "rate_limit_new": "admin", "rate_limit_change": "admin", "rate_limit_delete": "admin",
    "alert_rule_new": "admin", "alert_rule_change": "admin", "alert_rule_delete": "admin",
    "alert_destination_new": "admin", "alert_destination_change": "admin", "alert_destination_delete": "admin",
    "alert_destination_test": "admin", "alert_destination_rotate": "admin",
    "try": "member",
}  # fmt: skip
pytestmark = pytest.mark.django_db


def _arguments(name: str, everything: Everything) -> dict[str, Any]:
    """What stands in the address of this page."""
    named = "default" if name == "project" else "claude-sonnet-4-5"
    known = {"request_id": "req_1", "session": "s1", "name": named, "pk": everything.rows.get(_kind(name), 0)}
    return {each: known[each] for each in PATTERNS[name].pattern.converters if each != "team"}


def _kind(name: str) -> str:
    for kind in ("member", "invitation", "key", "budget_request", "budget", "rate_limit", "alert_rule"):
        if name.startswith(kind):
            return kind
    return "alert_destination"


def _patterns() -> dict[str, URLPattern]:
    """The pages of a team, by their names."""
    found: dict[str, URLPattern] = {}

    def walk(resolver: URLResolver) -> None:
        for each in resolver.url_patterns:
            if isinstance(each, URLResolver):
                walk(each)
            elif str(each.pattern).startswith("teams/<str:team>"):
                found[str(each.name)] = each

    walk(get_resolver())
    return found


PATTERNS = _patterns()


@pytest.fixture(scope="module")
def everything(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Everything]:
    with kept_for_a_module(django_db_blocker) as made:
        yield made


def page_of(name: str, everything: Everything, team: str = "platform") -> str:
    pattern, arguments = PATTERNS[name], _arguments(name, everything)
    text = "/" + str(pattern.pattern).replace("<str:team>", team)
    for argument, value in arguments.items():
        for converter in ("str", "int", "path"):
            text = text.replace(f"<{converter}:{argument}>", str(value))
    assert "<" not in text, text
    return text


def test_there_are_pages_to_check() -> None:
    assert len(PATTERNS) > 50


@pytest.mark.parametrize("name", sorted(PATTERNS))
def test_every_page_states_who_may_open_it(name: str) -> None:
    least, methods = PATTERNS[name].callback.access  # type: ignore[attr-defined]
    assert least in ROLES
    assert ("POST" in methods) == (name in WRITES), "state who may write there in WRITES"


@pytest.mark.parametrize("name", sorted(PATTERNS))
def test_reading(name: str, everything: Everything) -> None:
    least, methods = PATTERNS[name].callback.access  # type: ignore[attr-defined]
    address = page_of(name, everything)
    assert Client().get(address).headers["location"].startswith("/accounts/login/")
    if "GET" not in methods:
        assert signed_in(everything.people["owner"]).get(address).status_code == 405
        return
    for who in ("nobody", "owner elsewhere"):
        answer = signed_in(everything.people[who]).get(address)
        assert answer.status_code == 404, who
        assert b"platform" not in answer.content.replace(address.encode(), b""), who
    inside = signed_in(everything.people["owner elsewhere"]).get(page_of(name, everything, team="elsewhere"))
    if _arguments(name, everything):
        assert name in ("session", "model") or inside.status_code == 404, "a row of another team, by one's own"
    standings = {**{role: role for role in ROLES}, "auditor": "viewer", "administrator": "owner"}
    for who, role in standings.items():
        status = signed_in(everything.people[who]).get(address).status_code
        if at_least(role, least):
            assert status in (200, 302, 403, 404, 410), (who, status)
            assert role != "owner" or who != "owner" or status in (200, 302, 404), (who, status)
        else:
            assert status == 403, (who, status)


@pytest.mark.parametrize("name", sorted(WRITES))
def test_writing(name: str, everything: Everything) -> None:
    """A form without a value: whoever may not write is told so before anything is looked at, and nothing has changed."""
    address, least = page_of(name, everything), WRITES[name]
    before = state()
    for who in ("nobody", "owner elsewhere"):
        assert signed_in(everything.people[who]).post(address).status_code == 404, who
    inside = page_of(name, everything, team="elsewhere")
    signed_in(everything.people["owner elsewhere"]).post(inside)
    standings = {**{role: role for role in ROLES}, "auditor": "viewer"}
    for who, role in standings.items():
        if not at_least(role, least):
            status = signed_in(everything.people[who]).post(address).status_code
            assert status in (403, 404), (who, status)
    assert state() == before
    if name == "try":
        return  # sends a request, which takes a running gateway
    for who in ("owner", "administrator"):
        assert signed_in(everything.people[who]).post(address).status_code < 500, who


@pytest.mark.parametrize("name", sorted(set(WRITES) - {"try"}))
def test_what_no_form_expects(name: str, everything: Everything) -> None:
    """Each field with each value, beside the same and beside others: never a failure, and never shown as anything but text."""
    owner = signed_in(everything.people["administrator"])
    address = page_of(name, everything)
    page = owner.get(address)
    html = page.content.decode() if page.status_code == 200 else ""
    for data in hostile_forms(html):
        with taken_back():
            answer = owner.post(address, data)
        assert answer.status_code < 500, data
        assert b"<script>alert(7)" not in answer.content, data


@pytest.mark.parametrize("name", sorted(set(PATTERNS) - set(WRITES)))
def test_what_only_reads_takes_nothing_else(name: str, everything: Everything) -> None:
    owner = signed_in(everything.people["owner"])
    for method in ("post", "put", "patch", "delete"):
        assert getattr(owner, method)(page_of(name, everything)).status_code == 405, method
