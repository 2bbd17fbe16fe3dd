"""The search of the console: everything that has a page is found, by few and bounded queries, by whoever may see it."""

from datetime import UTC, datetime

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounting.models import AuditEvent, Price
from tests.pages.conftest import PROVIDER_SECRET, World, make_record, signed_in

ADDRESS = "/admin/search/"


def found(client: Client, text: str) -> str:
    response = client.get(ADDRESS, {"q": text, "fragment": "1"})
    assert response.status_code == 200
    return response.content.decode()


def test_everything_with_a_name_is_found_where_it_is(world: World, console: Client) -> None:
    Price.objects.create(
        provider="main", model="a-priced-model", valid_from=datetime(2026, 1, 1, tzinfo=UTC), input=1, output=1,
        cache_write_5m=1, cache_write_1h=1, cache_read=1,
    )  # fmt: skip
    price = Price.objects.get(model="a-priced-model")
    expected = {
        "sonnet-4": ("routing_modelalias", world.alias.pk),
        "sonnet": ("routing_route", world.route.pk),
        "main": ("routing_provider", world.provider.pk),
        "api.example": ("routing_provider", world.provider.pk),
        "api_key": ("routing_provider", world.provider.pk),
        "platf": ("accounting_team", world.team.pk),
        "default": ("accounting_project", world.project.pk),
        "sam@": ("accounting_user", world.stranger.pk),
        "ci": ("accounting_virtualkey", world.key.pk),
        world.key.prefix: ("accounting_virtualkey", world.key.pk),
        f"{world.key.prefix}…": ("accounting_virtualkey", world.key.pk),
        "grafana": ("accounting_apitoken", world.token.pk),
        "platform month": ("accounting_budget", world.budget.pk),
        "requests_per": ("accounting_ratelimit", world.rate.pk),
        "priced-model": ("accounting_price", price.pk),
        "req_1": ("accounting_requestrecord", world.record.pk),
        "created sonnet": ("accounting_auditevent", world.event.pk),
    }
    for text, (model, pk) in expected.items():
        assert f'href="{reverse(f"admin:{model}_change", args=[pk])}"' in found(console, text), text


def test_an_exact_name_comes_first_however_many_others_fit(world: World, console: Client) -> None:
    from accounting.models import Team

    Team.objects.bulk_create(Team(name=f"a-blue-{number:02}") for number in range(30))
    Team.objects.create(name="blue")
    page = found(console, "blue")
    teams = page[page.index(">Teams<") :]
    assert teams.index(">blue<") < teams.index(">a-blue-00<")
    assert teams.count("a-blue-") == 5, "a handful of each kind"
    assert "All that fit" in teams


def test_requests_are_found_by_the_beginning_of_their_id_and_by_session(world: World, console: Client) -> None:
    one = make_record(request_id="req_019abcdef0123", session_id="a-session")
    make_record(request_id="req_019aacdef0123")
    address = reverse("admin:accounting_requestrecord_change", args=[one.pk])
    assert address in found(console, "req_019ab")
    assert "req_019aac" not in found(console, "req_019ab")
    assert address in found(console, "a-session")


def test_pages_of_the_console_are_found_and_those_of_administrators_only_by_them(world: World, console: Client) -> None:
    auditor = signed_in(world.auditor)
    for text, address, for_all in (
        ("explain", reverse("admin:explain"), True),
        ("compat", reverse("admin:routing_compatibilityrule_changelist"), True),
        ("import", reverse("admin:configuration"), False),
        ("new virtual key", reverse("admin:accounting_virtualkey_add"), False),
    ):
        assert f'href="{address}"' in found(console, text), text
        assert (f'href="{address}"' in found(auditor, text)) is for_all, text


def test_auditors_find_what_there_is(world: World) -> None:
    assert reverse("admin:routing_route_change", args=[world.route.pk]) in found(signed_in(world.auditor), "sonnet")


def test_a_whole_key_is_cut_to_its_prefix_and_no_secret_is_shown(world: World, console: Client) -> None:
    page = found(console, world.key_secret.reveal())
    assert reverse("admin:accounting_virtualkey_change", args=[world.key.pk]) in page
    for text in ("main", "api_key", PROVIDER_SECRET):
        assert PROVIDER_SECRET not in found(console, text).replace(f"“{PROVIDER_SECRET}”", "")


@pytest.mark.parametrize("text", ["", "  ", "%", "_", "'; drop", "a\0b", "\\", "x" * 5000, "…", "<script>", "a " * 300])
def test_no_entry_breaks_the_search(text: str, world: World, console: Client) -> None:
    page = console.get(ADDRESS, {"q": text})
    assert page.status_code == 200
    assert b"<script>" not in page.content.replace(b"<script src", b"")


def test_a_percent_sign_is_a_letter_like_others(world: World, console: Client) -> None:
    assert "Nothing fits" in found(console, "%")


def test_queries_are_few_and_bounded_whatever_there_is(world: World, console: Client) -> None:
    AuditEvent.objects.bulk_create(
        AuditEvent(actor="x", actor_kind="user", action="changed", object_type="route", object_name="sonnet")
        for _ in range(200)
    )
    with CaptureQueriesContext(connection) as queries:
        found(console, "sonnet")
    assert len(queries) < 26, len(queries)
    reads = [query["sql"] for query in queries if "icontains" in query["sql"] or " LIKE " in query["sql"].upper()]
    assert reads
    assert all("LIMIT" in sql for sql in reads)


def test_the_page_works_without_scripts(world: World, console: Client) -> None:
    page = console.get(ADDRESS, {"q": "sonnet"}).content.decode()
    assert '<form method="get" action="/admin/search/" role="search"' in page
    assert 'value="sonnet"' in page
    assert reverse("admin:routing_route_change", args=[world.route.pk]) in page
    assert 'href="/admin/search/" data-palette' in page, "the header leads there"
