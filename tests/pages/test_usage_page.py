"""Usage of a team: rows that add up to the last digit, whatever is asked for; the CSV is what the page shows; nobody sees another
team's."""

import csv
import io
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounting.audit.changes import Actor, changing
from accounting.models import Membership, Team
from accounting.money.entry import Entry
from accounting.money.store import store_records
from accounting.services import create_user
from tests.accounting.ledgers import entry, line
from tests.pages.conftest import World, signed_in

HERE, CSV = "/teams/platform/usage/", "/teams/platform/usage.csv"
NASTY = "<img src=x onerror=alert(1)>"


def noon(days: int) -> datetime:
    return timezone.now().astimezone(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=days)


def used(name: str, *lines: Any, days: int = 1, **fields: Any) -> Entry:
    return entry(name, *lines, at=noon(days), **{"team": "platform", "key": "ci", **fields})


def several() -> list[Entry]:
    odd = Decimal("0.000000000001")
    ada: dict[str, Any] = {"user": "ada@example.org", "tags": {"cost_center": "4711", "app": "bot"}}
    return [
        used("a", line(0, tokens_input=1000, cost_usd=odd), project="one", **ada),
        used("b", line(0, tokens_output=5, cost_usd=odd * 3), days=2, project="one", **ada),
        used(
            "c",
            line(0, tokens_cache_read=7, model="claude-b", cost_usd=Decimal("0.1")),
            days=3,
            user=NASTY,
            project="two",
        ),
        used("d", line(0, tokens_input=1, cost_usd=Decimal("0.01")), days=1, user="=cmd()", tags={"cost_center": "9"}),
        used("e", days=1, outcome="refused", reason="budget", status=429, alias="sonnet"),
        used("f", days=1, outcome="upstream_error", reason="timeout", status=500, provider="main"),
        used("g", days=2, outcome="client_left", status=200, provider="main"),
        used("x", line(0, tokens_input=987_654_321), team="other", user="secret@example.org", project="hidden"),
    ]


def read(answer: Any) -> list[dict[str, str]]:
    assert answer.status_code == 200
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    return list(csv.DictReader(io.StringIO(answer.getvalue().decode())))


def parameters(address: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}


@pytest.fixture
def browser(world: World) -> Client:
    """A viewer's."""
    Membership.objects.filter(user=world.stranger).update(role="viewer")
    return signed_in(world.stranger)


@pytest.fixture
def stored(world: World) -> None:
    store_records(several())


GROUPS = ["model", "project", "key", "user", "provider", "tag", "kind"]
MEASURES = ["spend", "requests", "tokens", "errors", "cache_read"]


@pytest.mark.usefixtures("stored")
class TestSums:
    @pytest.mark.parametrize("group", GROUPS)
    def test_rows_add_up_to_the_total_and_are_those_of_the_csv(self, browser: Client, group: str) -> None:
        for measure in MEASURES:
            for scale in ("day", "week", "month"):
                query = {"group": group, "measure": measure, "scale": scale}
                table = browser.get(HERE, query).context["table"]
                rows = [*table.rows, *([table.rest] if table.rest else [])]
                for column in table.columns:
                    assert sum(row.amounts[column] for row in rows) == table.total.amounts[column]
                assert table.total.amounts["tokens"] == 1013
                figure = {"spend": "cost_usd"}.get(measure, measure) if group != "kind" else "tokens"
                assert sum(table.total.bars) == table.total.amounts[figure]
                lines = read(browser.get(CSV, query))
                assert len(lines) == len(rows) + 1
                for column in table.columns:
                    assert [Decimal(each[column]) for each in lines[:-1]] == [row.amounts[column] for row in rows]
                    assert Decimal(lines[-1][column]) == table.total.amounts[column]

    def test_money_is_exact(self, browser: Client) -> None:
        page = browser.get(HERE, {"group": "user"}).content.decode()
        assert "$0.110000000004" in page  # the total
        assert "$0.000000000004" in page  # Ada's
        spend = re.findall(r"<td class=\"number\">(\$[^<]+)</td>", page.partition("</table>")[0])
        assert len(spend) > 2
        assert {len(each.partition(".")[2]) for each in spend} == {
            12
        }  # with blanks, so that the points are in one line
        by_time = read(browser.get(CSV, {"group": "project", "rows": "time"}))
        assert sum(Decimal(each["Total"]) for each in by_time) == Decimal("0.110000000004")
        for each in by_time:
            parts = [Decimal(value) for name, value in each.items() if name not in ("day", "Total")]
            assert sum(parts) == Decimal(each["Total"])

    def test_beyond_the_largest_is_the_rest(self, browser: Client) -> None:
        store_records([used(f"k{n}", line(0, tokens_input=n + 1), key=f"key{n}", project="many") for n in range(30)])
        answer = browser.get(HERE, {"group": "key", "measure": "input", "project": "many"})
        table = answer.context["table"]
        assert [row.label for row in table.rows] == [f"key{n}" for n in range(29, 19, -1)]
        assert (table.rest.label, table.rest.amounts["input"]) == ("20 others", sum(range(1, 21)))
        assert [row.label for row in table.series][-1] == "Others"
        assert "20 others" in answer.content.decode()
        more = browser.get(HERE, {"group": "key", "measure": "input", "project": "many", "top": "25"}).context["table"]
        assert (len(more.rows), len(more.series), more.rest.label) == (25, 11, "5 others")
        assert sum(more.series[-1].bars) == table.rest.amounts["input"], "the chart's rest begins after ten"
        assert read(browser.get(CSV, {"group": "key", "project": "many"}))[-2]["project"] == "(20 others)"

    def test_kinds_keep_their_order_and_colours(self, browser: Client) -> None:
        chart = browser.get(HERE, {"group": "kind"}).context["chart"]
        assert [(each["name"], each["colour"]) for each in chart["series"]] == [
            ("Input", "kind-1"), ("Cache read", "kind-3"), ("Output", "kind-2"),
        ]  # fmt: skip
        rows = browser.get(HERE, {"group": "kind"}).context["table"].rows
        assert [row.names[0] for row in rows] == ["input", "cache_write_5m", "cache_write_1h", "cache_read", "output"]

    def test_tags_are_chosen_among_those_seen(self, browser: Client) -> None:
        first = browser.get(HERE, {"group": "tag"})
        assert first.context["asked"].tag == "app"
        found = browser.get(HERE, {"group": "tag", "tag": "cost_center"}).context["table"]
        assert {row.label: row.amounts["requests"] for row in found.rows} == {"4711": 2, "9": 1, "without this tag": 4}
        assert browser.get(HERE, {"group": "tag", "tag": "unheard-of"}).context["asked"].tag == "app"

    def test_sorting_moves_rows_and_changes_no_sum(self, browser: Client) -> None:
        for sort, key, reverse in (
            ("-requests", "requests", True),
            ("requests", "requests", False),
            ("tokens", "tokens", False),
        ):
            table = browser.get(HERE, {"group": "user", "sort": sort}).context["table"]
            amounts = [row.amounts[key] for row in table.rows]
            assert amounts == sorted(amounts, reverse=reverse)
        table = browser.get(HERE, {"group": "user", "sort": "name"}).context["table"]
        assert [row.label for row in table.rows] == sorted((row.label for row in table.rows), key=str.casefold)
        page = browser.get(HERE, {"group": "user", "sort": "-requests"}).content.decode()
        assert 'aria-sort="descending"' in page

    def test_filters_narrow_everything(self, browser: Client) -> None:
        wanted: list[tuple[dict[str, str], int]] = [
            ({"project": "one"}, 2), ({"user": "ada@example.org"}, 2), ({"model": "claude-b"}, 1), ({"key": "ci"}, 7),
            ({"provider": "main"}, 6), ({"tag:cost_center": "9"}, 1), ({"project": "one", "tag:app": "bot"}, 2),
            ({"project": "hidden"}, 0), ({"user": "secret@example.org"}, 0), ({"team": "other"}, 7),
        ]  # fmt: skip
        for query, requests in wanted:
            answer = browser.get(HERE, query)
            assert answer.context["table"].total.amounts["requests"] == requests, query
            assert read(browser.get(CSV, query))[-1]["requests"] == str(requests)
            assert b"987,654,321" not in answer.content
        chips = browser.get(HERE, {"project": "one", "tag:app": "bot"}).context["chips"]
        assert [chip.value for chip in chips] == ["one", "bot"]
        assert parameters(chips[0].address) == {"tag:app": "bot"}

    def test_clicking_a_row_narrows_to_it(self, browser: Client) -> None:
        for group in ("model", "project", "key", "user", "provider", "tag"):
            for row, address in browser.get(HERE, {"group": group}).context["rows"]:
                if not row.label or not all(row.names):
                    assert address == ""
                    continue
                answer = browser.get(HERE + address)
                assert answer.context["table"].total.amounts == row.amounts, (group, row.label)
                assert answer.context["asked"].group != group

    def test_clicking_a_bar_narrows_to_its_days(self, browser: Client) -> None:
        for scale in ("day", "week", "month"):
            answer = browser.get(HERE, {"scale": scale, "period": "30d", "group": "user"})
            links = answer.context["chart"].get("links", [])
            assert len(links) in (0, len(answer.context["chart"]["labels"]))
            for place, address in enumerate(links):
                if answer.context["table"].total.bars[place]:
                    narrow = browser.get(HERE + address)
                    assert (
                        narrow.context["table"].total.amounts["cost_usd"] == answer.context["table"].total.bars[place]
                    )
        one_day = browser.get(
            HERE, {"period": "custom", "since": f"{noon(1):%Y-%m-%d}", "until": f"{noon(1):%Y-%m-%d}"}
        )
        assert one_day.context["asked"].scale == "hour"
        assert len(one_day.context["chart"]["labels"]) == 24
        assert "links" not in one_day.context["chart"]

    @pytest.mark.parametrize("period", ["24h", "7d", "30d", "90d", "365d"])
    def test_there_are_never_too_many_bars(self, browser: Client, period: str) -> None:
        answer = browser.get(HERE, {"period": period})
        for scale in answer.context["asked"].scales:
            chart = browser.get(HERE, {"period": period, "scale": scale}).context["chart"]
            assert 0 < len(chart["labels"]) <= 124
        assert "hour" not in browser.get(HERE, {"period": "90d", "scale": "hour"}).context["asked"].scales


@pytest.mark.usefixtures("stored")
class TestReasons:
    def test_are_told(self, browser: Client) -> None:
        answer = browser.get(HERE)
        assert [(row.reason, row.requests) for row in answer.context["refusals"]] == [("budget", 1)]
        assert [(row.reason, row.requests) for row in answer.context["failures"]] == [("timeout", 1)]
        assert "1 more request was left by its client" in answer.content.decode()
        assert browser.get(HERE, {"provider": "main"}).context["refusals"] == []

    def test_are_not_kept_by_key_person_and_tag_and_that_is_said(self, browser: Client) -> None:
        for query in ({"key": "ci"}, {"user": "ada@example.org"}, {"tag:app": "bot"}):
            assert "not kept by key, person and tag" in browser.get(HERE, query).content.decode()


@pytest.mark.usefixtures("stored")
class TestWhatCannotBe:
    def test_names_that_are_code_are_text(self, browser: Client) -> None:
        page = browser.get(HERE, {"group": "user"}).content.decode()
        assert NASTY not in page
        assert "&lt;img src=x" in page
        names = [row["user"] for row in read(browser.get(CSV, {"group": "user"}))]
        assert "'=cmd()" in names
        assert "=cmd()" not in names

    def test_what_is_not_understood_is_the_usual_and_said(self, browser: Client) -> None:
        query = {
            "group": "team",
            "measure": "joy",
            "scale": "decade",
            "top": "9999",
            "sort": "nothing",
            "period": "30d",
        }
        answer = browser.get(HERE, query)
        assert answer.status_code == 200
        assert answer.content.decode().count('class="message warning"') == 4
        assert "secret" not in answer.content.decode()
        for value in ("a\x00b", "v" * 400):
            assert "could not be read" in browser.get(HERE, {"project": value}).content.decode()
        assert browser.get(CSV, {"tag:\x00": "b"}).status_code == 200

    def test_days_that_cannot_be_added_up_in_a_zone_are_days_of_utc(self, world: World, browser: Client) -> None:
        for zone, said in (("Asia/Kolkata", True), ("Asia/Tokyo", False)):
            world.stranger.timezone = zone
            world.stranger.save()
            for query in ({"scale": "day"}, {"scale": "week"}, {"period": "24h"}):
                answer = browser.get(HERE, query)
                assert ("days here are days of UTC" in answer.content.decode()) is said
        assert browser.get(CSV).status_code == 200

    def test_where_nothing_fits_the_page_says_so(self, browser: Client) -> None:
        page = browser.get(HERE, {"model": "no-such-model"}).content.decode()
        assert "Nothing in this period fits the filters." in page
        assert "<canvas" not in page
        assert (
            "Nobody sent a request"
            in browser.get(HERE, {"period": "custom", "since": "2024-01-01", "until": "2024-01-02"}).content.decode()
        )


def test_without_tags_there_is_nothing_to_group_by_them_and_that_is_said(browser: Client) -> None:
    store_records([used("a", line(0, tokens_input=1))])
    answer = browser.get(HERE, {"group": "tag"})
    assert "No request had a tag" in answer.content.decode()
    assert answer.context["asked"].group == "model"
    assert len(read(browser.get(CSV, {"group": "tag"}))) == 2


def test_a_team_that_used_nothing_is_told_how_to_begin(browser: Client) -> None:
    assert "Nothing was used yet" in browser.get(HERE).content.decode()


@pytest.mark.usefixtures("stored")
class TestWhoSeesIt:
    @pytest.mark.parametrize("path", [HERE, CSV])
    def test_strangers_and_members_of_other_teams_see_nothing(self, world: World, path: str) -> None:
        with changing(Actor("set-up", "system")) as change:
            other = Team(name="other")
            change.save(other)
            eve = create_user(change, "eve@example.org", "correct horse battery 9")
            change.save(Membership(team=other, user=eve, role="owner"))
        assert signed_in(eve).get(path).status_code == 404
        assert Client().get(path).status_code == 302
        theirs = signed_in(eve).get("/teams/other/usage/", {"project": "one"})
        assert theirs.context["table"].total.amounts["requests"] == 0
        assert "claude-b" not in signed_in(eve).get("/teams/other/usage/").content.decode(), "nor in the choices"
        assert signed_in(eve).post(path).status_code == 405

    def test_all_teams_are_for_administrators_and_auditors(self, world: World, browser: Client) -> None:
        for path in ("/usage/", "/usage.csv"):
            assert browser.get(path).status_code == 404
            assert Client().get(path).status_code == 302
            for user in (world.admin, world.auditor):
                assert signed_in(user).get(path).status_code == 200
        lines = read(signed_in(world.auditor).get("/usage.csv"))
        assert [row["team"] for row in lines] == ["other", "platform", "(total)"]
        table = signed_in(world.admin).get("/usage/", {"group": "project"}).context["table"]
        assert ("other", "hidden") in [row.names for row in table.rows]
        assert signed_in(world.admin).get("/usage/", {"team": "other"}).context["table"].total.amounts["requests"] == 1


@pytest.mark.parametrize(
    "query", ["", "?group=key&measure=tokens", "?group=tag&tag=a&scale=day", "?group=kind&period=365d"]
)
def test_takes_few_queries_whatever_there_is(
    browser: Client, query: str, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    store_records(
        [used(f"r{n}", line(0), days=n % 20, key=f"k{n}", user=f"u{n}", tags={"a": str(n)}) for n in range(60)]
    )
    with django_assert_max_num_queries(10):
        assert browser.get(HERE + query).status_code == 200
    with django_assert_max_num_queries(9):
        assert browser.get(CSV + query).status_code == 200
