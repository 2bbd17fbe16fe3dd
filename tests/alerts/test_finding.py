"""What rules notice, and what not; each matter once."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from accounting.alerting.finding import find
from accounting.alerting.raising import look
from accounting.audit.changes import changing
from accounting.models import AlertEvent, AlertTurn, BudgetAlert, Team, UnpricedModel
from accounting.money.entry import Entry, Line
from accounting.money.store import store_records
from accounting.services import create_key
from tests.alerts.conftest import SYSTEM, Office
from tests.pages.conftest import make_record

pytestmark = pytest.mark.django_db


def now() -> datetime:
    return datetime.now(UTC)


def used(cost: str, at: datetime, *, key: str = "ci", team: str = "platform", model: str = "claude-a") -> None:
    line = Line(0, "usage", 0, "main", model, cost_usd=Decimal(cost))
    entry = Entry(
        f"req_{at.timestamp()}_{key}_{model}", at.timestamp(), team=team, project="default", key=key, lines=[line]
    )
    entry.cost_usd, entry.outcome, entry.provider, entry.upstream_model = line.cost_usd, "served", "main", model
    store_records([entry])


def soft(office: Office, threshold: int, at: datetime, budget: int | None = None) -> None:
    BudgetAlert.objects.create(
        budget_id=budget or office.budget.pk,
        period_start=at,
        threshold=threshold,
        at=at,
        spent=Decimal(5),
        limit=Decimal(10),
    )


def again(moment: datetime) -> datetime:
    AlertTurn.objects.all().delete()
    return moment


class TestBudgets:
    def test_soft_limits_are_raised_once_each_from_the_rules_percentage_on(self, office: Office) -> None:
        rule = office.rule("budget_threshold", percent=60)
        at = now()
        soft(office, 50, at)
        soft(office, 80, at)
        assert [event.title for event in look(again(at))] == ["The budget of the team platform has reached 80 %"]
        assert look(again(at + timedelta(minutes=1))) == []
        event = AlertEvent.objects.get()
        assert (event.rule, event.team, event.path) == (
            rule.pk,
            "platform",
            f"/teams/platform/budgets/{office.budget.pk}/",
        )

    def test_what_was_reached_before_the_rule_was_made_is_no_news(self, office: Office) -> None:
        soft(office, 50, now() - timedelta(minutes=5))
        assert not find(office.rule("budget_threshold"), now())

    def test_a_team_hears_of_its_own_budgets_only_the_platform_of_all(self, office: Office) -> None:
        other = Team(name="other")
        with changing(SYSTEM) as change:
            change.save(other)
        budget = type(office.budget)(scope="team", team=other, period="day", amount=Decimal(1))
        with changing(SYSTEM) as change:
            change.save(budget)
        theirs, platform = office.rule("budget_threshold"), office.rule("budget_threshold", team=False)
        soft(office, 50, now(), budget.pk)
        assert (len(find(theirs, now())), len(find(platform, now()))) == (0, 1)

    def test_a_budget_is_used_up_once_for_each_limit(self, office: Office) -> None:
        office.rule("budget_used_up")
        at = now()
        used("9.99", at)
        assert look(again(at)) == []
        used("0.01", at, model="claude-b")
        assert [event.title for event in look(again(at))] == ["The budget of the team platform is used up"]
        assert look(again(at)) == []
        office.budget.amount = Decimal(20)
        with changing(SYSTEM) as change:
            change.save(office.budget)
        assert look(again(at)) == []
        used("10", at, model="claude-c")
        assert len(look(again(at))) == 1


class TestErrors:
    def requests(self, at: datetime, **outcomes: int) -> None:
        for outcome, count in outcomes.items():
            for number in range(count):
                make_record(request_id=f"{outcome}{number}{at.timestamp()}", started_at=at, outcome=outcome)

    def test_a_share_above_the_threshold_of_enough_requests(self, office: Office) -> None:
        rule = office.rule("error_share", percent=20, minutes=10, least_requests=10)
        at = now()
        self.requests(at, served=7, upstream_error=2, refused=50)
        assert not find(rule, at)  # nine that count
        self.requests(at - timedelta(seconds=5), served=1)
        (found,) = find(rule, at)
        assert found.text == "2 of the 10 requests of the last 10 minutes failed (20 %)."

    def test_what_is_too_long_ago_or_another_teams_does_not_count(self, office: Office) -> None:
        rule = office.rule("error_share", percent=20, minutes=10, least_requests=1)
        self.requests(now() - timedelta(minutes=11), upstream_error=5)
        make_record(request_id="other", team="other", outcome="upstream_error")
        assert not find(rule, now())
        platform = office.rule("error_share", team=False, percent=20, minutes=10, least_requests=1)
        assert find(platform, now())

    def test_it_is_quiet_for_an_hour_after_it_was_raised(self, office: Office) -> None:
        office.rule("error_share", percent=20, minutes=10, least_requests=1)
        at = now()
        for minutes, raised in ((0, 1), (5, 0), (59, 0), (61, 1)):
            then = at + timedelta(minutes=minutes)
            self.requests(then, upstream_error=3)
            assert len(look(again(then))) == raised, minutes


class TestKeys:
    def test_a_key_that_expires_soon_is_told_once_for_each_end(self, office: Office) -> None:
        office.rule("key_expires", days=7)
        at = now()
        for days, raised in ((8, 0), (6, 1), (6, 0), (5, 1)):
            office.key.expires_at = at + timedelta(days=days)
            with changing(SYSTEM) as change:
                change.save(office.key)
            assert len(look(again(at))) == raised, days

    @pytest.mark.parametrize("fields", [{"enabled": False}, {"revoked_at": datetime(2026, 1, 1, tzinfo=UTC)}])
    def test_a_key_out_of_use_is_none_of_anybodys_business(self, office: Office, fields: dict[str, object]) -> None:
        type(office.key).objects.update(expires_at=now() + timedelta(days=1), **fields)
        assert not find(office.rule("key_expires", days=7), now())

    def test_a_key_that_nobody_uses(self, office: Office) -> None:
        rule = office.rule("key_unused", days=30)
        assert not find(rule, now())  # it is new
        type(office.key).objects.update(created_at=now() - timedelta(days=100))
        (found,) = find(rule, now())
        assert "never used" in found.text
        used("1", now() - timedelta(days=40))
        assert f"{now() - timedelta(days=40):%Y-%m-%d}" in find(rule, now())[0].text
        used("1", now() - timedelta(days=3))
        assert not find(rule, now())

    def test_the_same_name_in_another_team_is_another_key(self, office: Office) -> None:
        rule = office.rule("key_unused", days=30)
        type(office.key).objects.update(created_at=now() - timedelta(days=100))
        used("1", now(), team="other")
        assert len(find(rule, now())) == 1
        with changing(SYSTEM) as change:
            create_key(change, office.project, "new")
        assert len(find(rule, now())) == 1


def test_a_model_without_a_price_is_told_to_those_who_use_it(office: Office) -> None:
    theirs, platform = office.rule("unpriced_model"), office.rule("unpriced_model", team=False)
    UnpricedModel.objects.create(provider="main", model="mystery", calls=3, last_seen=now())
    assert (len(find(theirs, now())), len(find(platform, now()))) == (0, 1)
    used("1", now(), model="mystery")
    (found,) = find(theirs, now())
    assert found.title == "The model main: mystery has no price"


def test_rules_that_are_off_and_disabled_teams_raise_nothing(office: Office) -> None:
    rule = office.rule("key_expires", days=7)
    office.key.expires_at = now() + timedelta(days=1)
    with changing(SYSTEM) as change:
        change.save(office.key)
    type(rule).objects.update(enabled=False)
    assert look(again(now())) == []
    type(rule).objects.update(enabled=True)
    Team.objects.update(enabled=False)
    assert look(again(now())) == []
    Team.objects.update(enabled=True)
    assert len(look(again(now()))) == 1
