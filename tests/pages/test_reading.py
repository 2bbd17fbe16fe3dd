"""What pages tell: the overview, requests, audit events, who serves a name."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounting.audit.changes import Actor, changing
from accounting.models import RequestRecord, VirtualKey
from gateway_project.console import overview, paging
from gateway_project.console.overview import read_overview
from routing.models import Credential, Provider, Route
from tests.pages.conftest import World, make_record

RECORDS = "/admin/accounting/requestrecord/"
EVENTS = "/admin/accounting/auditevent/"


def problems() -> list[str]:
    return [problem.text for problem in read_overview(datetime.now(UTC)).problems]


def test_overview_takes_few_queries_however_many_rows(world: World, console: Client) -> None:
    for number in range(30):
        make_record(request_id=f"req_many_{number}")
    with CaptureQueriesContext(connection) as queries:
        assert console.get("/admin/").status_code == 200
    assert len(queries) < 32, [query["sql"] for query in queries]


def test_overview_of_a_sound_configuration_finds_nothing(world: World) -> None:
    page = read_overview(datetime.now(UTC))
    assert (page.problems, page.steps, page.verdict) == ([], [], "Everything is all right.")


def test_overview_names_what_wants_mending(world: World) -> None:
    Credential.objects.all().delete()
    assert problems() == ["Provider main has no credential."]
    Provider.objects.update(enabled=False)
    (problem,) = problems()
    assert problem.startswith("Route sonnet: every target of this route is disabled")
    Route.objects.update(enabled=False)
    assert problems() == ["Alias claude-sonnet-4-5 leads to the route sonnet, which is disabled."]


def test_overview_tells_of_keys_that_expire_soon(world: World) -> None:
    VirtualKey.objects.update(expires_at=datetime.now(UTC) + timedelta(days=2))
    (problem,) = read_overview(datetime.now(UTC)).problems
    assert "Key ci" in problem.text
    assert not problem.serious


@pytest.mark.django_db
def test_empty_gateway_is_told_its_next_steps() -> None:
    page = read_overview(datetime.now(UTC))
    assert len(page.steps) == 5
    assert page.tone == "calm"


def test_overview_counts_the_last_hour_by_provider(world: World) -> None:
    RequestRecord.objects.all().delete()
    for number in range(4):
        make_record(request_id=f"req_e{number}", outcome="upstream_error", status=500)
    make_record(request_id="req_r", outcome="refused", status=401, provider="", ttft_ms=None)
    make_record(request_id="req_old", started_at=datetime.now(UTC) - timedelta(hours=2))
    page = read_overview(datetime.now(UTC))
    assert (page.hour.requests, page.hour.errors, page.hour.refused) == (5, 4, 1)
    (state,) = page.providers
    assert (state.requests, state.errors, state.word, state.latency_ms) == (4, 4, "failing", 400.0)
    assert page.verdict == "Requests to main are failing."


def test_overview_reads_a_bounded_number_of_records(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overview, "MOST_READ", 3)
    for number in range(5):
        make_record(request_id=f"req_b{number}")
    hour = read_overview(datetime.now(UTC)).hour
    assert (hour.requests, hour.cut_short) == (3, True)


def test_list_of_requests_shows_the_last_day_unless_asked(world: World, console: Client) -> None:
    make_record(request_id="req_old", alias="an-old-one", started_at=datetime.now(UTC) - timedelta(days=3))
    assert b"an-old-one" not in console.get(RECORDS).content
    assert b"an-old-one" in console.get(f"{RECORDS}?when=week").content
    assert b"an-old-one" in console.get(f"{RECORDS}?q=req_old").content, "a search looks at all times"


@pytest.mark.parametrize("field", ["request_id", "session_id", "key_prefix"])
def test_requests_are_found_by_what_people_have_in_hand(field: str, world: World, console: Client) -> None:
    make_record(**{"request_id": "req_2", "alias": "wanted", field: "known-by"})
    make_record(request_id="req_3", alias="unwanted")
    page = console.get(f"{RECORDS}?q=known-by").content.decode()
    assert "wanted" in page
    assert "unwanted" not in page


@pytest.mark.parametrize(
    ("query", "fits"),
    [
        ("outcome__exact=refused", {"outcome": "refused"}),
        ("team=blue", {"team": "blue"}),
        ("provider=other", {"provider": "other"}),
        ("client_format=bedrock", {"client_format": "bedrock"}),
        ("operation=count_tokens", {"operation": "count_tokens"}),
    ],
)
def test_requests_are_filtered(query: str, fits: dict[str, Any], world: World, console: Client) -> None:
    make_record(request_id="req_2", alias="this-fits", **fits)
    make_record(request_id="req_3", alias="that-does-not")
    page = console.get(f"{RECORDS}?{query}").content.decode()
    assert "this-fits" in page
    assert "that-does-not" not in page


def test_counting_of_requests_stops_at_the_bound(
    world: World, console: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "MOST_COUNTED", 2)
    for number in range(4):
        make_record(request_id=f"req_c{number}")
    with CaptureQueriesContext(connection) as queries:
        page = console.get(RECORDS).content.decode()
    assert "Counting stopped here" in page
    counts = [query["sql"] for query in queries if "COUNT(" in query["sql"] and "requestrecord" in query["sql"]]
    assert counts
    assert all("LIMIT 2" in sql for sql in counts)


def test_page_of_a_request_tells_its_story(world: World, console: Client) -> None:
    record = make_record(
        request_id="req_s", outcome="upstream_error", error_type="api_error", error_message="It broke <i>",
        attempts=[{"provider": "first-try", "model": "m", "status": 0, "error": "timeout", "duration_ms": 120_500.0}],
        tokens_cache_read=98_765,
    )  # fmt: skip
    page = console.get(f"{RECORDS}{record.pk}/change/").content.decode()
    for words in ("first-try", "timeout", "2 min 0 s", "It broke &lt;i&gt;", "98,765", "400 ms", 'width="250.0"'):
        assert words in page, words


def test_page_of_an_audit_event_shows_before_and_after(world: World, console: Client) -> None:
    with changing(Actor("bob@example.org", "user", "203.0.113.9")) as change:
        world.route.cooldown, world.route.retry_on = 45, ["connect", 429]
        change.save(world.route)
    event = world.event.__class__.objects.order_by("-id")[0]
    page = console.get(f"{EVENTS}{event.pk}/change/").content.decode()
    for words in ("bob@example.org", "203.0.113.9", "cooldown", ">30<", ">45<", "connect<br>429"):
        assert words in page, words


def test_history_of_a_row_is_its_audit_events(world: World, console: Client) -> None:
    response = console.get(reverse("admin:routing_route_history", args=[world.route.pk]), follow=True)
    page = response.content.decode()
    assert "<strong>1</strong>" in page or "1 audit event" in page
    assert "sonnet" in page


def test_who_serves_tells_alias_route_shares_and_reasons(world: World, console: Client) -> None:
    other = Provider.objects.create(name="off", base_url="https://b.example.com", enabled=False)
    world.route.targets.create(provider=other, model="x", tier=0, weight=1)
    address = reverse("admin:routing_route_who_serves")
    page = console.get(f"{address}?model=claude-sonnet-4-5").content.decode()
    for words in ("claude-sonnet-4-5", "sonnet", "100 %", "the provider off is disabled"):
        assert words in page, words
    nobody = console.get(f"{address}?model=claude-sonnet-4-6").content.decode()
    assert "a client gets 404" in nobody
    assert "Close to it: claude-sonnet-4-5" in nobody
    on_route = console.get(reverse("admin:routing_route_change", args=[world.route.pk])).content.decode()
    assert "100 %" in on_route


def test_empty_lists_say_what_to_do(db: None, world: World, console: Client) -> None:
    RequestRecord.objects.all().delete()
    assert "Every request leaves a line here" in console.get(RECORDS).content.decode()
    assert "Nothing fits this filter" in console.get("/admin/routing/route/?q=zzz").content.decode()
