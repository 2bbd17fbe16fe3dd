"""Sessions: sums of a bounded time, the tree of agents, the same in the REST API."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from accounting.audit.changes import Actor, changing
from accounting.history.agents import MOST_REQUESTS, tree
from accounting.history.listing import MOST_LOOKED_AT
from accounting.models import Membership, RequestRecord
from accounting.services import create_api_token
from tests.pages.conftest import World, make_record, signed_in

LIST = "/teams/platform/sessions/"
NOW = datetime.now(UTC)


@pytest.fixture
def member(world: World) -> Client:
    return signed_in(world.stranger)


def text(client: Client, path: str, **query: Any) -> str:
    answer = client.get(path, query)
    assert answer.status_code == 200, answer.status_code
    return answer.content.decode()


def listed(client: Client, **query: Any) -> list[str]:
    return re.findall(r'title="([^"]+)" href="/teams/platform/sessions/', text(client, LIST, **query))


def in_session(number: int, session: str = "s-1", **values: Any) -> RequestRecord:
    fields = {
        "tokens_input": 10,
        "tokens_output": 5,
        "cost_usd": Decimal("0.01"),
        "started_at": NOW - timedelta(minutes=number),
    }
    return make_record(request_id=f"req_{session}_{number}", session_id=session, **{**fields, **values})


def team_api(world: World) -> Any:
    """A GET of the API with a token of the team."""
    with changing(Actor("test", "system")) as change:
        _, secret = create_api_token(change, "of-the-team", role="team", team=world.team, team_role="viewer")
    header = {"authorization": f"Bearer {secret.reveal()}"}
    return lambda path, **query: Client().get(f"/api/v1/sessions/{path}", query, headers=header)


def test_sessions_are_summed_and_those_seen_last_come_first(member: Client) -> None:
    in_session(30, "s-old")
    in_session(5, agent_id="a", tokens_cache_read=90, user="eve@example.org")
    in_session(6, outcome="upstream_error", status=529)
    in_session(7, outcome="refused", status=429)
    make_record(request_id="req_none", session_id="")
    make_record(request_id="req_theirs", session_id="s-theirs", team="rivals")
    assert listed(member) == ["s-1", "s-old"]
    row = text(member, LIST).partition("s-old")[0]
    for expected in ("$0.0300", "75 %", "eve@example.org", "1 refused", '<span class="pill bad">1</span>'):
        assert expected in row, expected


def test_filters_and_periods(member: Client) -> None:
    in_session(1, "s-eve", user="eve@example.org", key_prefix="gw_eve")
    in_session(60 * 24 * 3, "s-three-days")
    in_session(60 * 24 * 20, "s-twenty-days", user="eve@example.org")
    assert listed(member) == ["s-eve"]
    assert listed(member, period="7d") == ["s-eve", "s-three-days"]
    assert listed(member, period="30d") == ["s-eve", "s-three-days"]
    assert "The last seven days of this period" in text(member, LIST, period="30d")
    assert listed(member, period="30d", person="eve@example.org") == ["s-eve", "s-twenty-days"]
    assert listed(member, key="gw_eve") == ["s-eve"]
    assert listed(member, q="s-eve") == ["s-eve"]
    assert listed(member, q="s-nobody") == []
    assert "Null characters" in text(member, LIST, q="a\x00")


def test_strangers_find_none(world: World, member: Client) -> None:
    in_session(1)
    assert member.get(f"{LIST}s-1/").status_code == 200
    assert member.get(f"{LIST}s-2/").status_code == 404
    assert member.get(f"{LIST}%00/").status_code == 404
    in_session(1, "s-theirs", team="rivals")
    assert member.get(f"{LIST}s-theirs/").status_code == 404
    Membership.objects.all().delete()
    assert member.get(LIST).status_code == member.get(f"{LIST}s-1/").status_code == 404


def test_one_sessions_sums_are_of_the_teams_own_requests(member: Client) -> None:
    in_session(1)
    make_record(request_id="req_theirs", session_id="s-1", team="rivals", cost_usd=Decimal(99))
    page = text(member, f"{LIST}s-1/")
    assert "req_theirs" not in page
    assert "$99" not in page


def test_agents_stand_below_those_that_started_them(member: Client) -> None:
    in_session(9)
    in_session(8, agent_id="planner")
    in_session(7, agent_id="tester", parent_agent_id="planner")
    in_session(
        6, agent_id="reader", outcome="upstream_error", status=529, error_type="overloaded_error", error_message="Busy"
    )
    page = text(member, f"{LIST}s-1/")
    places = [page.index(name) for name in ("Main agent", "<code>planner", "<code>tester", "<code>reader")]
    assert places == sorted(places)
    assert re.findall(r'class="agent depth-(\d)"', page) == ["0", "1", "2", "1"]
    assert "What went wrong" in page
    assert re.search(r"529 <code>overloaded_error</code> Busy", page)
    assert "?session=s-1&amp;agent=main" in page
    assert "?session=s-1&amp;agent=planner" in page


def record(agent: str, parent: str = "", second: int = 0) -> RequestRecord:
    return RequestRecord(
        request_id=f"{agent}{second}", agent_id=agent, parent_agent_id=parent, duration_ms=10, outcome="served",
        started_at=NOW + timedelta(seconds=second),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([record("b", "a"), record("a")], [("a", 0), ("b", 1)]),
        ([record("a", "gone"), record("")], [("", 0), ("a", 1)]),
        ([record("a", "gone")], [("a", 0)]),
        ([record("a", "b"), record("b", "a")], [("a", 0), ("b", 1)]),
        ([record("a", "a"), record("")], [("", 0), ("a", 1)]),
        ([record("a", "b"), record("b", "c"), record("c", "a"), record("")], [("", 0), ("a", 0), ("c", 1), ("b", 2)]),
    ],
)
def test_agents_that_name_no_parent_or_each_other_are_all_shown_once(
    records: list[RequestRecord], expected: list[tuple[str, int]]
) -> None:
    assert [(agent.agent_id, agent.depth) for agent in tree(records)] == expected


def test_a_deep_tree_is_walked_without_recursion() -> None:
    chain = [record(str(number), str(number - 1), number) for number in range(1, 3000)]
    assert tree(chain)[-1].depth == 2998


def test_many_agents_come_in_pages_and_many_requests_in_their_list(member: Client) -> None:
    in_session(500)
    RequestRecord.objects.bulk_create(
        [
            RequestRecord(
                request_id=f"req_b{number}", session_id="s-1", agent_id=f"agent-{number % 90}", team="platform",
                started_at=NOW - timedelta(seconds=number), duration_ms=5, status=200, outcome="served",
                client_format="anthropic", operation="messages",
            )
            for number in range(MOST_REQUESTS + 5)
        ]
    )  # fmt: skip
    page = text(member, f"{LIST}s-1/")
    assert page.count('class="agent depth-') == 40
    assert "The latest 2,000 requests of this session" in page
    assert "more: show all" in page
    assert text(member, f"{LIST}s-1/", page=3).count('class="agent depth-') == 10
    assert text(member, f"{LIST}s-1/", page=99).count('class="agent depth-') == 10


def test_a_session_id_may_have_any_characters(member: Client) -> None:
    make_record(request_id="req_2", session_id='a/b?c="d"&e')
    page = text(member, LIST)
    found = re.search(r'href="(/teams/platform/sessions/[^"]+)"', page)
    assert found is not None
    assert "Main agent" in text(member, found[1].replace("&amp;", "&"))


def test_more_requests_than_are_looked_at_are_said(member: Client) -> None:
    RequestRecord.objects.bulk_create(
        [
            RequestRecord(
                request_id=f"req_b{number}", session_id=f"s-{number % 7}", team="platform", duration_ms=5, status=200,
                started_at=NOW - timedelta(milliseconds=number), outcome="served", client_format="anthropic",
                operation="messages",
            )
            for number in range(MOST_LOOKED_AT + 1)
        ]
    )  # fmt: skip
    assert "Only the latest requests were looked at" in text(member, LIST)


def test_pages_ask_the_database_little(member: Client, django_assert_max_num_queries: DjangoAssertNumQueries) -> None:
    for number in range(30):
        in_session(number, agent_id=f"a-{number % 5}")
    for path in (LIST, f"{LIST}?person=x", f"{LIST}s-1/"):
        with django_assert_max_num_queries(14):
            assert member.get(path).status_code == 200


def test_the_api_lists_sessions_of_the_tokens_team(world: World) -> None:
    ask = team_api(world)
    in_session(3, tokens_cache_read=30)
    in_session(2, agent_id="a", outcome="upstream_error")
    in_session(1, "s-theirs", team="rivals")
    answer = ask("").json()
    assert (answer["next"], answer["previous"], answer["looked_to"]) == (None, None, None)
    assert len(answer["results"]) == 1
    row = answer["results"][0]
    assert {name: row[name] for name in ("session_id", "team", "requests", "errors", "agents", "cost_usd")} == {
        "session_id": "s-1", "team": "platform", "requests": 2, "errors": 1, "agents": 2, "cost_usd": "0.020000000000",
    }  # fmt: skip
    assert row["cache_hit_rate"] == 0.6
    assert ask("", session_id="s-theirs").json()["results"] == []
    assert ask("", team="rivals").json()["results"] == []


def test_the_api_pages_and_refuses_what_it_does_not_know(world: World) -> None:
    ask = team_api(world)
    for number in range(3):
        in_session(number, f"s-{number}")
    first = ask("", page_size=2).json()
    assert [row["session_id"] for row in first["results"]] == ["s-0", "s-1"]
    assert "page=2" in first["next"]
    assert [row["session_id"] for row in ask("", page_size=2, page=2).json()["results"]] == ["s-2"]
    assert ask("", page=9).status_code == 404
    for query in ({"sessions": "x"}, {"team": ""}, {"since": "soon"}, {"since": "2020-01-01"}, {"user": "a\x00"}):
        assert ask("", **query).status_code == 400, query
    assert ask("", since="2020-01-01", user="eve").status_code == 200
    assert Client().get("/api/v1/sessions/").status_code == 401


def test_the_api_shows_a_session_with_its_agents(world: World) -> None:
    ask = team_api(world)
    in_session(3)
    failed = in_session(2, agent_id="a", parent_agent_id="", outcome="upstream_error")
    found = ask("s-1/").json()
    assert [(agent["agent_id"], agent["depth"]) for agent in found["agents"]] == [("", 0), ("a", 1)]
    assert found["agents"][1]["failed"] == [failed.request_id]
    assert (found["requests"], found["whole"], found["cost_usd"]) == (2, True, "0.020000000000")
    assert ask("s-2/").status_code == 404
    in_session(1, "s-theirs", team="rivals")
    assert ask("s-theirs/").status_code == 404


def test_an_administrators_token_says_which_team_where_two_use_one_id(world: World) -> None:
    in_session(3)
    make_record(request_id="req_theirs", session_id="s-1", team="rivals")
    header = {"authorization": f"Bearer {world.token_secret.reveal()}"}
    assert Client().get("/api/v1/sessions/s-1/", headers=header).status_code == 400
    found = Client().get("/api/v1/sessions/s-1/?team=platform", headers=header).json()
    assert (found["team"], found["requests"]) == ("platform", 1)
