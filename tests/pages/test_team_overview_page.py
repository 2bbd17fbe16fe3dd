"""The overview of a team: its figures are those of its requests, it says what wants a look, and a new team is led to its first
request."""

from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounting.audit.changes import Actor, changing
from accounting.limits.asking import Party, ask
from accounting.models import Budget, Membership, Price, Project, Team, User, VirtualKey
from accounting.money.entry import Entry
from accounting.money.store import store_records
from accounting.services import create_key, create_user
from tests.accounting.ledgers import entry, line
from tests.pages.conftest import World, signed_in

HERE = "/teams/platform/"
FRAGMENT = {"HX-Request": "true", "HX-Target": "live"}


def used(name: str, *lines: Any, at: datetime | None = None, **fields: Any) -> Entry:
    return entry(name, *lines, at=at or timezone.now(), **{"team": "platform", "key": "ci", **fields})


def days_ago(number: int) -> datetime:
    """Noon of a day, UTC."""
    return datetime.combine(timezone.now().date() - timedelta(days=number), time(12), UTC)


def member(world: World, role: str) -> Client:
    """A browser of somebody with this role in the team."""
    with changing(Actor("set-up", "system")) as change:
        user = create_user(change, f"{role}@example.org", "correct horse battery 9")
        change.save(Membership(team=world.team, user=user, role=role))
    return signed_in(user)


class TestANewTeam:
    def test_is_led_to_its_first_request(self, world: World) -> None:
        VirtualKey.objects.all().delete()
        page = signed_in(world.stranger).get(HERE).content.decode()
        assert 'href="/teams/platform/keys/new/"' in page
        assert 'href="/teams/platform/setup/"' in page
        assert "waiting" in page
        assert page.count('class="done"') == 0

    def test_the_steps_turn_green_when_the_first_request_arrives(self, world: World) -> None:
        browser = signed_in(world.stranger)
        asking = {"HX-Request": "true", "HX-Target": "steps"}
        before = browser.get(HERE, headers=asking).content.decode()
        assert before.count('class="done"') == 1, "the key is made"
        assert "every 5s" in before
        store_records([used("first", outcome="refused", reason="budget", status=429)])
        after = browser.get(HERE, headers=asking).content.decode()
        assert after.count('class="done"') == 3
        assert "every 5s" not in after
        assert "<html" not in after
        assert "first-steps" not in browser.get(HERE).content.decode()

    def test_a_request_of_another_team_is_not_its_first(self, world: World) -> None:
        store_records([used("other", line(0), team="other")])
        assert b"waiting" in signed_in(world.stranger).get(HERE).content


class TestFigures:
    def figures(self, world: World, query: str = "") -> Any:
        answer = signed_in(world.stranger).get(HERE + query)
        assert answer.status_code == 200
        return answer.context["figures"]

    def test_are_those_of_the_teams_requests(self, world: World) -> None:
        now = timezone.now()
        store_records(
            [
                used("a", line(0, tokens_input=1000, tokens_output=10, tokens_cache_read=7), at=now, ttft_ms=150.0),
                used("b", line(0, model="claude-b", tokens_input=500, cost_usd=Decimal("0.000000000001")), at=now),
                used("c", at=now, outcome="upstream_error", reason="timeout", status=500),
                used("d", at=now, outcome="refused", reason="budget", status=429),
                used("e", line(0, tokens_input=9_999_999), at=now, team="other"),
            ]
        )
        found = self.figures(world)
        assert found.sums.requests == 4
        assert found.error_share == 0.25
        assert found.sums.refused == 1
        assert found.sums.cost_usd == Decimal("0.0031521") + Decimal("0.000000000001")
        assert found.sums.tokens == 1517
        assert found.median == 150
        assert [name for name, _ in found.models] == ["claude-a", "claude-b"]
        page = signed_in(world.stranger).get(HERE).content.decode()
        assert "25 % failed" in page
        assert "9,999,999" not in page

    def test_are_compared_with_as_long_a_time_before(self, world: World) -> None:
        amounts = {0: "3", 2: "1", 8: "2", 40: "100"}
        store_records([used(f"d{n}", line(0, cost_usd=Decimal(a)), at=days_ago(n)) for n, a in amounts.items()])
        found = self.figures(world, "?period=7d")
        assert (found.sums.cost_usd, found.before.cost_usd) == (4, 2)
        assert found.change == 1.0
        assert b"+100 %" in signed_in(world.stranger).get(HERE + "?period=7d").content
        hours = self.figures(world, "?period=24h")
        assert hours.before.cost_usd in (0, 1)  # the day before yesterday's noon, by the time of day

    def test_a_month_is_forecast_from_four_weeks_and_not_from_a_few_days(self, world: World) -> None:
        store_records([used(f"f{n}", line(0, cost_usd=Decimal(7)), at=days_ago(n)) for n in range(1, 4)])
        assert self.figures(world).forecast is None
        store_records([used(f"g{n}", line(0, cost_usd=Decimal(7)), at=days_ago(n)) for n in range(4, 35)])
        found = self.figures(world)
        today = timezone.now().date()
        left = (found.forecast_day - today).days
        if not left:
            assert found.forecast is None
            return
        assert 7 * left <= found.forecast - found.sums.cost_usd <= 7 * (left + 1)
        assert b"by the end of" in signed_in(world.stranger).get(HERE).content

    def test_saving_is_reads_less_the_surcharge_of_writes(self, world: World) -> None:
        five = {"input": 3, "output": 15, "cache_write_5m": Decimal("3.75"), "cache_write_1h": 6}
        since = datetime(2020, 1, 1, tzinfo=UTC)
        Price.objects.create(model="claude-a", valid_from=since, cache_read=Decimal("0.3"), **five)
        million = 10**6
        store_records(
            [
                used(
                    "s",
                    line(
                        0, tokens_cache_read=2 * million, tokens_cache_write_5m=million, tokens_cache_write_1h=million
                    ),
                )
            ]
        )
        assert self.figures(world).saved == Decimal("5.4") - Decimal("0.75") - 3
        assert "$1.65" in signed_in(world.stranger).get(HERE).content.decode()

    def test_nothing_is_saved_without_a_cache(self, world: World) -> None:
        store_records([used("n", line(0, tokens_input=5))])
        assert self.figures(world).saved == 0


class TestChart:
    @pytest.fixture(autouse=True)
    def stored(self, world: World) -> None:
        store_records(
            [
                used("a", line(0, tokens_input=1001), user="ada@example.org", project="one"),
                used("b", line(0, tokens_input=7, model="claude-b"), user="<script>alert(1)</script>", project="two"),
                used("c", line(0, tokens_input=3), team="other", user="secret@example.org"),
            ]
        )

    @pytest.mark.parametrize("group", ["model", "project", "key", "user"])
    @pytest.mark.parametrize("measure", ["spend", "requests", "tokens"])
    def test_shows_the_choice_of_the_address_and_adds_up(self, world: World, group: str, measure: str) -> None:
        answer = signed_in(world.stranger).get(f"{HERE}?group={group}&measure={measure}&period=7d")
        table = answer.context["table"]
        assert table.total.amounts["requests"] == 2
        assert table.total.amounts["tokens"] == 1008
        for column in table.columns:
            assert sum(row.amounts[column] for row in table.rows) == table.total.amounts[column]
        assert sum(table.total.bars) == table.total.amounts[{"spend": "cost_usd"}.get(measure, measure)]
        assert len(answer.context["chart"]["labels"]) == 7
        assert b"secret@example.org" not in answer.content
        assert b"<script>alert" not in answer.content

    def test_leads_to_the_same_in_usage(self, world: World) -> None:
        browser = signed_in(world.stranger)
        answer = browser.get(HERE, {"group": "project", "period": "month", "measure": "tokens"})
        there = browser.get(answer.context["usage_address"])
        assert there.context["table"].total.amounts["tokens"] == answer.context["table"].total.amounts["tokens"]
        assert (there.context["asked"].group, there.context["period"].name) == ("project", "month")
        for row, address in answer.context["rows"]:
            narrow = browser.get(address)
            assert narrow.context["table"].total.amounts["tokens"] == row.amounts["tokens"]
            assert narrow.context["period"].name == "month"

    def test_what_it_does_not_know_is_said(self, world: World) -> None:
        answer = signed_in(world.stranger).get(HERE, {"group": "<b>colour", "measure": "beauty", "scale": "second"})
        page = answer.content.decode()
        assert answer.status_code == 200
        assert page.count('class="message warning"') == 3
        assert "&lt;b&gt;colour" in page
        assert "<b>colour" not in page

    def test_a_filter_of_another_page_does_not_narrow_it(self, world: World) -> None:
        answer = signed_in(world.stranger).get(HERE, {"project": "one", "team": "other"})
        assert answer.context["figures"].sums.requests == answer.context["table"].total.amounts["requests"] == 2

    def test_days_that_cannot_be_added_up_in_a_zone_are_days_of_utc(self, world: World) -> None:
        world.stranger.timezone = "Asia/Kolkata"
        world.stranger.save()
        answer = signed_in(world.stranger).get(HERE)
        assert "days here are days of UTC" in answer.content.decode()
        assert answer.context["figures"].sums.requests == 2


class TestNotices:
    @pytest.fixture(autouse=True)
    def stored(self, world: World) -> None:
        store_records([used("a", line(0, cost_usd=Decimal(450)))])

    def said(self, browser: Client) -> list[str]:
        return [notice.text for notice in browser.get(HERE).context["notices"]]

    def test_a_budget_that_is_nearly_used(self, world: World) -> None:
        budget = signed_in(world.stranger).get(HERE).context["budgets"][0]
        assert (budget.spent, budget.limit, budget.title) == (450, 500, "This month")
        assert self.said(signed_in(world.stranger)) == ["Budget “This month”: 90 % of $500.00 used."]
        Budget.objects.update(amount=Decimal("0.01"))
        assert self.said(signed_in(world.stranger)) == ["Budget “This month”: 4500000 % of $0.01 used."]
        Budget.objects.update(amount=5000)
        assert self.said(signed_in(world.stranger)) == []

    def test_budgets_of_other_teams_are_not_shown(self, world: World) -> None:
        with changing(Actor("set-up", "system")) as change:
            other = Team(name="other")
            change.save(other)
            change.save(Membership(team=other, user=world.stranger, role="owner"))
            change.save(Budget(scope="team", team=other, period="day", amount=Decimal(1)))
            project = Project(team=world.team, name="answers")
            change.save(project)
            change.save(Budget(scope="project", project=project, period="total", amount=Decimal(3)))
        titles = [bar.title for bar in signed_in(world.stranger).get(HERE).context["budgets"]]
        assert titles == ["This month", "In all · project answers"]

    def test_a_key_that_expires_within_two_weeks(self, world: World) -> None:
        now = timezone.now()
        for days, name in ((3, "soon"), (20, "later"), (-1, "gone")):
            with changing(Actor("set-up", "system")) as change:
                create_key(change, world.project, name, expires_at=now + timedelta(days=days))
        assert [text.split(" expires")[0] for text in self.said(signed_in(world.stranger))][1:] == ["Key default/soon"]

    def test_a_request_for_more_waits_for_those_who_may_decide_it(self, world: World) -> None:
        party = Party(world.stranger.email, roles={"platform": "member"})
        with changing(Actor("sam", "user")) as change:
            ask(
                change, party, world.budget, amount=Decimal(5), until=timezone.now() + timedelta(days=2), reason="x",
                now=timezone.now(),
            )  # fmt: skip
        waits = "1 request for more of a budget waits for your decision."
        owner = member(world, "owner")
        assert waits in self.said(owner)
        [notice] = [each for each in owner.get(HERE).context["notices"] if each.text == waits]
        [waiting] = owner.get(notice.address).context["listed"]
        assert waiting.asked_by == world.stranger.email, "the notice leads to what waits"
        assert waits in self.said(member(world, "admin"))
        assert waits in self.said(signed_in(world.admin))
        assert waits not in self.said(signed_in(world.stranger)), "nobody decides about their own"
        assert waits not in self.said(member(world, "viewer"))
        assert waits not in self.said(signed_in(world.auditor))

    def test_requests_that_fail_today(self, world: World) -> None:
        fine = [used(f"ok{number}", line(0)) for number in range(17)]
        store_records([*fine, *(used(f"bad{number}", outcome="upstream_error", status=500) for number in range(6))])
        assert "25 % of today's requests failed." in self.said(signed_in(world.stranger))


class TestWhoSeesIt:
    @pytest.fixture(autouse=True)
    def stored(self, world: World) -> None:
        store_records([used("a", line(0, tokens_input=1001))])

    def test_a_viewer_sees_everything_and_strangers_nothing(self, world: World) -> None:
        assert member(world, "viewer").get(HERE).context["figures"].sums.tokens == 1001
        Membership.objects.filter(user=world.stranger).delete()
        for headers in ({}, FRAGMENT, {"HX-Request": "true", "HX-Target": "steps"}):
            assert signed_in(world.stranger).get(HERE, headers=headers).status_code == 404
        assert Client().get(HERE).status_code == 302

    def test_nothing_can_be_posted(self, world: World) -> None:
        assert signed_in(world.stranger).post(HERE).status_code == 405

    def test_what_refreshes_itself_is_a_part_of_the_page(self, world: World) -> None:
        browser = signed_in(world.stranger)
        whole, part = browser.get(HERE).content.decode(), browser.get(HERE, headers=FRAGMENT).content.decode()
        assert 'hx-trigger="gateway:requests from:document throttle:2s, every 5s"' in whole
        assert "<html" not in part
        assert "Time to first byte" in part
        assert "overview-chart" not in part


@pytest.mark.parametrize("query", ["", "?group=key", "?group=user", "?group=project&measure=tokens", "?period=24h"])
def test_takes_few_queries_whatever_there_is(
    world: World, query: str, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    projects = ("one", "two", "three")
    names: dict[str, Any] = {}
    with changing(Actor("set-up", "system")) as change:
        for name in projects:
            names[name] = Project(team=world.team, name=name)
            change.save(names[name])
            change.save(Budget(scope="project", project=names[name], period="day", amount=Decimal(1)))
        change.save(Budget(scope="key", key=world.key, period="day", amount=Decimal(1)))
        change.save(Budget(scope="team", team=world.team, period="day", amount=Decimal(1), model="claude-*"))
    store_records(
        [
            used(f"r{n}", line(0), at=days_ago(n % 20), project=projects[n % 3], key=f"k{n}", user=f"u{n}")
            for n in range(40)
        ]
    )
    owner = User.objects.get(email=world.stranger.email)
    Membership.objects.filter(user=owner).update(role="owner")
    browser = signed_in(owner)
    with django_assert_max_num_queries(13):  # PostgreSQL takes one more, which sets how the others are read
        assert browser.get(HERE + query).status_code == 200
    with django_assert_max_num_queries(12):
        browser.get(HERE + query, headers=FRAGMENT)
