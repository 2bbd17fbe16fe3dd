"""The list of a team's requests and the page of each: who sees what, filters, pages, and everything that is known."""

import csv
import io
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from accounting.history.listing import MOST_LOOKED_AT, Place, read_place
from accounting.models import Membership, RequestRecord
from tests.pages.conftest import World, make_line, make_record, signed_in

LIST = "/teams/platform/requests/"


@pytest.fixture
def member(world: World) -> Client:
    return signed_in(world.stranger)


def shown(client: Client, **query: Any) -> list[str]:
    """The ids of the listed requests, in their order."""
    return re.findall(r'data-request="([^"]+)"', text(client, LIST, **query))


def text(client: Client, path: str, **query: Any) -> str:
    answer = client.get(path, query)
    assert answer.status_code == 200, answer.status_code
    return answer.content.decode()


def link(page: str, word: str) -> str:
    found = re.search(rf'<a class="btn"[^>]*href="([^"]+)"[^>]*>{word}</a>', page)
    assert found is not None, word
    return found[1].replace("&amp;", "&")


def test_a_team_sees_its_own_requests_and_no_others(member: Client) -> None:
    make_record(request_id="req_other", team="rivals")
    assert shown(member) == ["req_1"]
    assert member.get(f"{LIST}req_other/").status_code == member.get(f"{LIST}req_none/").status_code == 404
    assert shown(member, q="req_other") == []
    make_record(request_id="req_theirs", team="rivals", session_id="s", resend_of="req_1")
    RequestRecord.objects.filter(request_id="req_1").update(session_id="s")
    assert "req_theirs" not in text(member, f"{LIST}req_1/")
    assert "req_theirs" not in text(member, LIST, session="s")
    sheet = b"".join(member.get(LIST, {"format": "csv"})).decode()
    assert "req_1," in sheet
    assert "req_theirs" not in sheet


def test_strangers_find_no_list_and_no_request(world: World, member: Client) -> None:
    Membership.objects.all().delete()
    for path in (LIST, f"{LIST}?format=csv", f"{LIST}req_1/", f"{LIST}req_1/explanation/"):
        assert member.get(path).status_code == 404
        assert Client().get(path).status_code == 302
        assert signed_in(world.auditor).get(path).status_code == 200


def test_viewers_may_read_everything(world: World, member: Client) -> None:
    Membership.objects.update(role="viewer")
    assert shown(member) == ["req_1"]
    assert member.get(f"{LIST}req_1/").status_code == 200


NOW = datetime.now(UTC)
FILTERS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"outcome": "refused"}, {"outcome": "refused", "status": 400}),
    ({"model": "claude-asked"}, {"alias": "claude-asked"}),
    ({"model": "claude-served"}, {"upstream_model": "claude-served"}),
    ({"project": "gone"}, {"project": "gone"}),
    ({"key": "gw_gone00000"}, {"key_prefix": "gw_gone00000"}),
    ({"person": "eve@example.org"}, {"user": "eve@example.org"}),
    ({"session": "s-1"}, {"session_id": "s-1"}),
    ({"session": "s-1", "agent": "a-1"}, {"session_id": "s-1", "agent_id": "a-1"}),
    ({"status": "529"}, {"status": 529}),
    ({"min_cost": "0.5"}, {"cost_usd": Decimal("0.5")}),
    ({"q": "req_2"}, {}),
    ({"q": " s-1 "}, {"session_id": "s-1"}),
]


@pytest.mark.parametrize(("query", "values"), FILTERS)
def test_each_filter_narrows_the_list(member: Client, query: dict[str, Any], values: dict[str, Any]) -> None:
    make_record(request_id="req_2", **values)
    assert shown(member, **query) == ["req_2"]


def test_the_main_agent_has_no_id(member: Client) -> None:
    make_record(request_id="req_2", session_id="s", agent_id="a")
    make_record(request_id="req_3", session_id="s")
    assert shown(member, session="s", agent="main") == ["req_3"]


def test_the_period_is_a_day_unless_a_session_or_another_period_is_asked_for(member: Client) -> None:
    make_record(request_id="req_old", started_at=NOW - timedelta(days=3), session_id="s-old")
    assert shown(member) == ["req_1"]
    assert shown(member, period="7d") == ["req_1", "req_old"]
    assert shown(member, session="s-old") == ["req_old"]
    assert shown(member, session="s-old", period="24h") == []
    assert shown(member, q="req_old") == ["req_old"]


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({"status": "many"}, "Enter a whole number."),
        ({"status": "7"}, "greater than or equal to 100"),
        ({"min_cost": "cheap"}, "Enter a number."),
        ({"outcome": "fine"}, "Select a valid choice."),
        ({"model": "a\x00b"}, "Null characters are not allowed."),
    ],
)
def test_what_cannot_be_read_is_said_and_kept(member: Client, query: dict[str, str], sentence: str) -> None:
    page = text(member, LIST, **query)
    assert sentence in page
    assert "data-request" not in page
    name, value = next(iter(query.items()))
    if name != "outcome":
        assert f'name="{name}" value="{value}"'.replace("\x00", "\x00") in page


def test_pages_go_down_and_up_again_without_gap_or_repetition(member: Client) -> None:
    moment = NOW - timedelta(hours=1)
    for number in range(120):  # many in one moment: the number tells them apart
        make_record(request_id=f"req_p{number:03}", started_at=moment + timedelta(seconds=number // 60))
    first = text(member, LIST)
    seen = re.findall(r'data-request="([^"]+)"', first)
    second = text(member, LIST + link(first, "Older"))
    third = text(member, LIST + link(second, "Older"))
    for page in (second, third):
        seen += re.findall(r'data-request="([^"]+)"', page)
    assert seen == ["req_1", *(f"req_p{number:03}" for number in range(119, -1, -1))]
    assert ">Older</a>" not in third
    assert text(member, LIST + link(third, "Newer")).count("data-request") == 50
    up = text(member, LIST + link(third, "Newer"))
    assert re.findall(r'data-request="([^"]+)"', up) == re.findall(r'data-request="([^"]+)"', second)
    assert shown(member, after="9999999999999999-1") == seen[:50], "beyond the newest there is the newest page"


@pytest.mark.parametrize(
    "place", ["", "x", "1-", "-1", "1-x", "99999999999999999999-1", "1-99999999999999999999", "²-1"]
)
def test_an_address_that_names_no_place_shows_the_newest(member: Client, place: str) -> None:
    assert shown(member, before=place) == ["req_1"]


def test_places_are_exact() -> None:
    place = Place(datetime(2026, 11, 25, 4, 5, 6, 789, tzinfo=UTC), 4711)
    assert read_place(str(place)) == place


def test_what_is_rare_is_looked_for_in_bounded_steps(member: Client) -> None:
    """Among more records than one page looks at: it says how far it looked, and the next one looks on."""
    moment = NOW - timedelta(hours=2)
    fields = {"client_format": "anthropic", "operation": "messages", "team": "platform", "duration_ms": 1.0}
    RequestRecord.objects.bulk_create(
        [
            RequestRecord(
                request_id=f"req_m{number}", started_at=moment - timedelta(milliseconds=number), status=200,
                outcome="served", **fields,
            )
            for number in range(MOST_LOOKED_AT)
        ]
    )  # fmt: skip
    make_record(request_id="req_rare", outcome="shut_down", started_at=moment - timedelta(hours=1))
    page = text(member, LIST, outcome="shut_down")
    assert "data-request" not in page
    assert "only: so many requests are read at a time" in page
    assert 'data-request="req_rare"' in text(member, LIST + link(page, "Look further back"))
    sheet = b"".join(member.get(LIST, {"outcome": "shut_down", "format": "csv"})).decode()
    assert "req_rare" in sheet


def test_the_list_as_csv_is_what_the_list_shows(member: Client) -> None:
    make_record(
        request_id="req_2", user="=cmd()", outcome="refused", cost_usd=Decimal("0.25"), tokens_cache_read=7,
        session_id="s", alias="claude-asked",
    )  # fmt: skip
    answer = member.get(LIST, {"outcome": "refused", "format": "csv"})
    assert answer.headers["content-disposition"] == 'attachment; filename="platform-requests.csv"'
    rows = list(csv.DictReader(io.StringIO(b"".join(answer).decode())))
    assert [row["request_id"] for row in rows] == ["req_2"]
    assert (rows[0]["cost_usd"], rows[0]["cache_read"], rows[0]["model"]) == ("0.250000000000", "7", "claude-asked")
    assert rows[0]["person"] == "'=cmd()"


def test_followers_get_the_rows_alone_and_only_the_newest_page_follows(member: Client) -> None:
    whole = text(member, LIST)
    assert "data-follow hx-get" in whole
    assert "live.js" in whole
    part = member.get(LIST, {"part": "rows"}, headers={"hx-request": "true"}).content.decode()
    assert part.lstrip().startswith('<tr data-request="req_1"')
    assert "<html" not in part
    assert "<html" in text(member, LIST, part="rows"), "whoever opens that address by hand sees the page"
    for number in range(60):
        make_record(request_id=f"req_{number + 10}")
    older = text(member, LIST + link(text(member, LIST), "Older"))
    assert "data-follow hx-get" not in older
    assert "live.js" not in older


def test_an_empty_list_says_why(member: Client) -> None:
    assert "No request fits" in text(member, LIST, outcome="shut_down")
    RequestRecord.objects.all().delete()
    assert "No request in this time" in text(member, LIST)


def test_a_request_tells_everything(member: Client) -> None:
    price = {
        "id": 7, "model": "m", "valid_from": "2026-01-01T00:00:00Z", "input": "3", "output": "15", "cache_read": "0.3",
        "cache_write_5m": "3.75", "cache_write_1h": "6", "band": "standard", "multipliers": {"geo": "1.1"},
    }  # fmt: skip
    make_record(
        request_id="req_2", alias="claude-asked", upstream_model="claude-served", provider="second", outcome="upstream_error",
        status=529, error_type="overloaded_error", error_message="Overloaded <b>", reason="upstream_529",
        attempts=[
            {"provider": "main", "model": "m1", "status": 0, "error": "no connection", "duration_ms": 12.0},
            {"provider": "second", "model": "m2", "status": 529, "error": "", "duration_ms": 300.0},
        ],
        tokens_input=1000, tokens_cache_read=2000, tokens_output=500, cost_usd=Decimal("0.01221"), price=price,
        session_id="s-1", agent_id="a-1", parent_agent_id="a-0", client_ip="203.0.113.9", user_agent="claude-cli/2.1",
        upstream_request_id="up_1", betas_removed=["beta-x"], fields_removed=["field_y"], tags={"cost_center": "4711"},
        switched_from="main/m1", switch_tokens=44_000, resend_of="req_1", config_revision=12,
    )  # fmt: skip
    make_record(request_id="req_3", session_id="s-1", resend_of="req_2")
    make_line(request_id="req_2", number=0, cost_usd=Decimal("0.01221"), price=price, tokens_input=1000)
    make_line(
        request_id="req_2", number=1, kind="adjustment", adjusts=0, cost_usd=Decimal("-0.002"), price=None, reason="rebate",
        actor="ada@example.org", posted_at=NOW, tokens_input=0, tokens_output=0,
    )  # fmt: skip
    page = text(member, f"{LIST}req_2/")
    for expected in (
        "claude-asked", "claude-served", "no connection", "Overloaded &lt;b&gt;", "overloaded_error", "a-1", "a-0",
        "203.0.113.9", "claude-cli/2.1", "up_1", "beta-x", "field_y", "cost_center: 4711", "main/m1", "44,000", "req_1",
        "req_3", "version 12", "rebate", "$0.01021", "$0.01221 before corrections", "$3 / million", "(region)",
        "/sessions/s-1/", "Price 7: m from 2026-01-01",
    ):  # fmt: skip
        assert expected in page, expected
    kinds = [page.index(f"{name}: <strong>") for name in ("input", "write, 5 min", "write, 1 h", "read", "output")]
    assert kinds == sorted(kinds)


def test_a_request_that_was_refused_before_anything_was_known_has_a_page(member: Client) -> None:
    make_record(
        request_id="req_2", provider="", alias="", attempts=[], tokens_input=0, tokens_output=0, ttft_ms=None,
        duration_ms=0.0, outcome="refused", status=401, reason="unknown_key",
    )  # fmt: skip
    page = text(member, f"{LIST}req_2/")
    assert "No provider was called." in page
    assert "Nothing was used." in page
    assert "Explain this request" not in page
    assert "nothing to decide" in text(member, f"{LIST}req_2/explanation/")


def test_the_explanation_is_a_part_or_a_page(world: World, member: Client) -> None:
    make_record(request_id="req_2", key_prefix=world.key.prefix, alias="claude-sonnet-4-5")
    assert "Explain this request" in text(member, f"{LIST}req_2/")
    whole = text(member, f"{LIST}req_2/explanation/")
    assert "<html" in whole
    assert "claude-sonnet-4-5 goes to main" in whole
    assert "$0.00 / $500.00" in whole
    assert "until 20" not in whole  # a moment as people write it, not as machines do
    part = member.get(f"{LIST}req_2/explanation/", headers={"hx-request": "true"}).content.decode()
    assert "<html" not in part
    assert "goes to main" in part
    world.key.delete()
    assert "not there any more" in text(member, f"{LIST}req_2/explanation/")


def test_pages_ask_the_database_little(
    world: World, member: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(60):
        make_record(request_id=f"req_{number + 10}", session_id="s", key_prefix=world.key.prefix)
    for path in (LIST, f"{LIST}?outcome=served&min_cost=0", f"{LIST}?session=s", f"{LIST}?q=s", f"{LIST}req_1/"):
        with django_assert_max_num_queries(14):
            assert member.get(path).status_code == 200
