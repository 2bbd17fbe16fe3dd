"""Every address that is not below a team and not the REST API's, for everybody, reading and writing: the console of every table,
profile, sign-in, invitations. What a page shows has tests of its own; here it is only asked who gets to it."""

import re
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from typing import Any

import pytest
from django.apps import apps
from django.test import Client
from pytest_django.plugin import DjangoDbBlocker

from tests.pages.conftest import PROVIDER_SECRET, signed_in
from tests.pages.everybody import HOSTILE, Everything, hostile_forms, kept_for_a_module, state, taken_back
from tests.pages.resolved import address_of, make_the_rest, resolved, table_of

pytestmark = pytest.mark.django_db
ADDRESSES = resolved()
WHO = ("nobody", "owner", "auditor", "administrator")  # "nobody" belongs to no team, "owner" to one
SIGN_IN = ("/accounts/login/", "/admin/login/")

# Walked in part, each with the reason.
NOT_POSTED: Mapping[str, str] = {
    "admin:routing_provider_test": "asks the provider, which takes one: tests/pages/test_provider_page.py",
    "accounts:logout": "ends the session of whoever asks: tests/pages/test_accounts.py",
    "admin:logout": "ends the session of whoever asks: tests/pages/test_accounts.py",
}
# Open to everybody, who is told that there is no such link, or may sign in.
OPEN = frozenset({"accounts:login", "accounts:logout", "accounts:first_administrator", "invitation"})
# Open to whoever has signed in, about themselves.
OWN = frozenset(
    {
        "home", "dashboard:profile", "dashboard:own_password", "dashboard:sign_in_ended", "dashboard:ask_for_more",
        "routing:explain",
    }
)  # fmt: skip
# About all teams: there are none for others.
ALL_TEAMS = frozenset({"dashboard:all_usage", "dashboard:all_usage_csv"})
# Everything else is the console: administrators and, reading, auditors. These addresses of it are for them, too:
AUDITORS_READ = frozenset(
    {
        "admin:search", "admin:explain", "admin:index", "admin:app_list", "admin:password_change",
        "admin:password_change_done", "admin:jsi18n", "admin:routing_route_who_serves",
    }
)  # fmt: skip
READING = re.compile(r"_(changelist|change|history)$|^/admin/(routing|accounting)/\w+/<path:object_id>/$")
# What administrators are refused, too: history that nobody edits, rows that are ended and not deleted, the one row of a table.
NOBODY_ADDS = frozenset(
    {
        "requestrecord", "auditevent", "ledgerentry", "configversion", "configproposal", "budgetrequest", "budgetalert",
        "alertevent", "unknownmodelprice", "organizationsettings",
    }
)  # fmt: skip
NOBODY_DELETES = (NOBODY_ADDS - {"organizationsettings"}) | {"virtualkey", "apitoken", "user", "price"}
MORE_TABLES = [
    table for table in apps.get_app_config("routing").get_models() if table._meta.model_name != "processreport"
]


@pytest.fixture(scope="module")
def everything(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Everything]:
    with kept_for_a_module(django_db_blocker) as made:
        make_the_rest(made)
        yield made


def _state() -> list[Any]:
    return [*state(), *(list(table._default_manager.order_by("pk").values()) for table in MORE_TABLES)]


def _console(name: str) -> bool:
    return ADDRESSES[name].startswith("/admin/")


def _sent_to_sign_in(answer: Any) -> bool:
    return bool(answer.status_code == 302 and answer.headers["location"].startswith(SIGN_IN))


def test_there_are_addresses_to_check_and_each_table_has_a_row(everything: Everything) -> None:
    assert len(ADDRESSES) > 120
    assert set(NOT_POSTED) | OPEN | OWN | ALL_TEAMS | AUDITORS_READ <= set(ADDRESSES)
    not_console = {name for name in ADDRESSES if not _console(name)}
    assert not_console == OPEN | OWN | ALL_TEAMS, "state who may open it"
    tables = {table_of(path) for path in ADDRESSES.values()} - {None}
    assert [table for table in tables if table and not table._default_manager.exists()] == []


@pytest.mark.parametrize("name", sorted(ADDRESSES))
def test_who_gets_there(name: str, everything: Everything) -> None:
    """Reading changes nothing, and a form without a value only for those who may."""
    address, wrong = address_of(ADDRESSES[name]), []
    before = _state()
    methods = ("get",) if name in NOT_POSTED else ("get", "post")
    for method in methods:
        stranger = getattr(Client(), method)(address)
        assert stranger.status_code < 500
        if name not in OPEN | {"admin:logout"} and (method == "get" or name != "home"):
            assert _sent_to_sign_in(stranger), "whoever has not signed in is sent there"
    for who in WHO if not _console(name) else WHO[1:]:
        client = signed_in(everything.people[who])
        client.raise_request_exception = False
        for method in methods:
            with taken_back() if who == "administrator" else nullcontext():
                answer = getattr(client, method)(address)
            if not _fits(name, method, who, answer):
                wrong.append((method, who, answer.status_code))
            if not answer.streaming and PROVIDER_SECRET.encode() in answer.content:
                wrong.append((method, who, "sees the secret of a provider"))
    assert wrong == []
    assert _state() == before


def _fits(name: str, method: str, who: str, answer: Any) -> bool:
    """Whether this is what somebody may be told there."""
    status = answer.status_code
    if not _console(name):
        if name in ALL_TEAMS and who in ("nobody", "owner"):
            return status in (404, 405)
        return status in (200, 302, 404, 405) and not _sent_to_sign_in(answer)
    if name in ("admin:login", "admin:logout"):
        return status in (302, 403, 405)
    if who in ("nobody", "owner"):
        return _sent_to_sign_in(answer) or status == 403
    table = name.split("_")[1] if name.count("_") else ""
    if (name.endswith("_add") and table in NOBODY_ADDS) or (name.endswith("_delete") and table in NOBODY_DELETES):
        return bool(status == 403)
    if who == "auditor":
        reads = name in AUDITORS_READ or READING.search(name) is not None
        allowed = (
            (200, 302, 404, 405, 403) if reads and method == "post" else (200, 302, 404) if reads else (403, 404, 405)
        )
        return status in allowed
    return status in (200, 302, 403, 404, 405)


FORMS = sorted(name for name in ADDRESSES if name not in NOT_POSTED)


@pytest.mark.parametrize("name", FORMS)
def test_what_no_form_expects(name: str, everything: Everything) -> None:
    """Each field with each value, beside the same and beside others: never a failure, and never shown as anything but text."""
    address, client = address_of(ADDRESSES[name]), signed_in(everything.people["administrator"])
    client.raise_request_exception = False
    page = client.get(address)
    if page.status_code != 200 or page.streaming:
        return
    for data in hostile_forms(page.content.decode(), together=False):
        with taken_back():
            answer = client.post(address, data)
        assert answer.status_code < 500, data
        assert answer.streaming or HOSTILE[2].encode() not in answer.content, data
