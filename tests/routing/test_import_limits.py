"""Budgets and rate limits in the configuration file: applied, exported, pruned; what is no limit is refused."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
import yaml

from accounting.audit.changes import Actor, changing
from accounting.models import AuditEvent, Budget, OrganizationSettings, RateLimit, User
from routing.declarative import ConfigRefused, export_config
from tests.routing.declared import apply, whole

pytestmark = pytest.mark.django_db
KEY = "teams[0].projects[0].keys[0]"


def limited() -> dict[str, Any]:
    """Limits at every place that may have some."""
    content = whole()
    content["organization"] = {
        "timezone": "Europe/Paris",
        "fiscal_start_month": 4,
        "on_counter_loss": "open",
        "reservation": "strict",
        "budgets": [{"amount": "10000.5", "period": "quarter", "carry_over": True}],
        "rate_limits": [{"requests_per_minute": 6000}],
    }
    team = content["teams"][0]
    team["budgets"] = [
        {"amount": 500, "period": "month", "soft": [50, 80], "hard": True},
        {"amount": 50, "period": "day", "model": "claude-opus-*"},
        {"amount": 5, "period": "day", "model": "*"},
    ]
    team["rate_limits"] = [
        {"requests_per_minute": 600},
        {"input_tokens_per_minute": 2_000_000, "output_tokens_per_minute": 200_000, "model": "claude-*"},
        {"concurrent_requests": 40},
    ]
    project = team["projects"][0]
    raised = {"amount": 10, "until": "2027-01-01T00:00:00Z", "reason": "launch"}
    project["budgets"] = [{"amount": 1, "period": "week", "raise": raised, "tag": "cost_center=4711"}]
    project["keys"][0]["budgets"] = [{"amount": 20, "period": "total", "hard": False}]
    project["keys"][0]["rate_limits"] = [{"concurrent_streams": 2}]
    content["users"] = [{"email": "Carol@example.org", "budgets": [{"amount": 3, "period": "day"}]}]
    return content


def stored() -> set[tuple[str, Decimal]]:
    budgets = {(str(row), row.amount) for row in Budget.objects.all()}
    return budgets | {(str(row), Decimal(row.amount)) for row in RateLimit.objects.all()}


def refusal(content: Any) -> list[str]:
    with pytest.raises(ConfigRefused) as error:
        apply(content)
    return str(error.value).splitlines()


class TestApplying:
    def test_limits_of_every_scope_are_stored(self) -> None:
        apply(limited())
        assert {str(row): row.amount for row in Budget.objects.all()} == {
            "organization: quarter": Decimal("10000.5"),
            "team platform: month": 500,
            "team platform claude-opus-*: day": 50,
            "team platform: day": 5,
            "project platform/default cost_center=4711: week": 1,
            "key platform/default/ci: total": 20,
            "user carol@example.org: day": 3,
        }
        assert {(row.where(), row.kind): row.amount for row in RateLimit.objects.all()} == {
            ("organization", "requests_per_minute"): 6000,
            ("team platform", "requests_per_minute"): 600,
            ("team platform claude-*", "input_tokens_per_minute"): 2_000_000,
            ("team platform claude-*", "output_tokens_per_minute"): 200_000,
            ("team platform", "concurrent_requests"): 40,
            ("key platform/default/ci", "concurrent_streams"): 2,
        }
        settings = OrganizationSettings.objects.get()
        assert (settings.timezone, settings.fiscal_start_month) == ("Europe/Paris", 4)
        assert (settings.on_counter_loss, settings.reservation) == ("open", "strict")

    def test_defaults_are_a_hard_budget_without_soft_limits(self) -> None:
        content = whole()
        content["teams"][0]["budgets"] = [{"amount": 1, "period": "day"}]
        apply(content)
        budget = Budget.objects.get()
        assert (budget.hard, budget.soft, budget.carry_over, budget.raise_amount) == (True, [], False, None)

    def test_the_same_file_twice_changes_nothing(self) -> None:
        apply(limited())
        assert apply(limited()).lines == ()

    def test_an_export_is_the_same_configuration(self) -> None:
        apply(limited())
        exported = yaml.safe_load(export_config().text)
        before = stored()
        content = whole()
        content["teams"][0]["budgets"] = exported["teams"][0]["budgets"]
        for part in ("organization", "users"):
            content[part] = exported[part]
        team = exported["teams"][0]
        content["teams"][0].update({name: team[name] for name in ("budgets", "rate_limits")})
        ours, theirs = content["teams"][0]["projects"][0], team["projects"][0]
        ours["budgets"] = theirs["budgets"]
        key = next(each for each in theirs["keys"] if each["name"] == "ci")
        ours["keys"][0].update({name: key[name] for name in ("budgets", "rate_limits")})
        assert apply(content, prune=True).lines == ()
        assert stored() == before

    def test_a_changed_amount_is_the_same_budget(self) -> None:
        apply(limited())
        before = Budget.objects.get(scope="team", period="month")
        content = limited()
        content["teams"][0]["budgets"][0]["amount"] = 700
        lines = apply(content).lines
        assert len(lines) == 1
        after = Budget.objects.get(scope="team", period="month")
        assert (after.pk, after.amount) == (before.pk, 700)

    def test_a_raise_ends_when_the_file_says_none(self) -> None:
        apply(limited())
        raised = Budget.objects.get(scope="project")
        assert (raised.raise_amount, raised.raise_until) == (10, datetime(2027, 1, 1, tzinfo=UTC))
        content = limited()
        content["teams"][0]["projects"][0]["budgets"][0]["raise"] = None
        apply(content)
        raised.refresh_from_db()
        assert (raised.raise_amount, raised.raise_until, raised.raise_reason) == (None, None, "")

    def test_pruning_disables_what_is_not_mentioned_and_mentioning_enables_it_again(self) -> None:
        apply(limited())
        apply(whole(), prune=True)
        assert not Budget.objects.filter(enabled=True).exists()
        assert not RateLimit.objects.filter(enabled=True).exists()
        apply(limited())
        assert not Budget.objects.filter(enabled=False).exists()
        assert not RateLimit.objects.filter(enabled=False).exists()

    def test_without_pruning_what_is_not_mentioned_stays(self) -> None:
        apply(limited())
        apply(whole())
        assert Budget.objects.filter(enabled=True).count() == 7

    def test_people_with_limits_become_known(self) -> None:
        apply(limited())
        assert User.objects.filter(email="carol@example.org").exists()


def team(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda content: content["teams"][0].update(values)


def key(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda content: content["teams"][0]["projects"][0]["keys"][0].update(values)


def top(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda content: content.update(values)


BUDGET, RATE = "teams[0].budgets[0]", "teams[0].rate_limits[0]"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (team(budgets=[{"amount": 1}]), f"{BUDGET}.period: required"),
        (team(budgets=[{"period": "day"}]), f"{BUDGET}.amount: required"),
        (team(budgets=[{"amount": float("nan"), "period": "day"}]), f"{BUDGET}.amount: not an amount of dollars"),
        (team(budgets=[{"amount": float("inf"), "period": "day"}]), f"{BUDGET}.amount: not an amount of dollars"),
        (team(budgets=[{"amount": "NaN", "period": "day"}]), f"{BUDGET}.amount: not an amount of dollars"),
        (team(budgets=[{"amount": "-Infinity", "period": "day"}]), f"{BUDGET}.amount: not an amount of dollars"),
        (team(budgets=[{"amount": True, "period": "day"}]), f"{BUDGET}.amount: not an amount of dollars"),
        (team(budgets=[{"amount": "much", "period": "day"}]), f"{BUDGET}.amount: not an amount of dollars"),
        (
            team(budgets=[{"amount": -1, "period": "day"}]),
            f"{BUDGET}.amount: An amount is more than 0 and at most 9,000,000 dollars.",
        ),
        (
            team(budgets=[{"amount": 0, "period": "day"}]),
            f"{BUDGET}.amount: An amount is more than 0 and at most 9,000,000 dollars.",
        ),
        (team(budgets=[{"amount": 1, "period": "year"}]), f"{BUDGET}.period: Value 'year' is not a valid choice."),
        (team(budgets=[{"amount": 1, "period": "day", "soft": 50}]), f"{BUDGET}.soft: not a list"),
        (team(budgets=[{"amount": 1, "period": "day", "soft": ["x"]}]), f"{BUDGET}.soft[0]: not a whole number"),
        (
            team(budgets=[{"amount": 1, "period": "day", "soft": [0]}]),
            f"{BUDGET}.soft: Soft limits are whole percentages from 1 to 1000, such as [50, 80].",
        ),
        (
            team(budgets=[{"amount": 1, "period": "day"}, {"amount": 2, "period": "day", "model": None}]),
            "teams[0].budgets[1]: the same period and model and tag as in teams[0].budgets[0]",
        ),
        (
            team(budgets=[{"amount": 1, "period": "day"}, {"amount": 2, "period": "day", "model": "*"}]),
            "teams[0].budgets[1]: the same period, model and tag as in an earlier entry",
        ),
        (
            team(budgets=[{"amount": 1, "period": "day", "raise": {"amount": 1}}]),
            f"{BUDGET}.raise.until: required",
        ),
        (
            team(budgets=[{"amount": 1, "period": "day", "tag": "x"}]),
            f"{BUDGET}.tag: A tag is written as name=value, such as cost_center=4711.",
        ),
        (
            team(budgets=[{"amount": 1, "period": "total", "carry_over": True}]),
            f"{BUDGET}.carry_over: A total has no next period to carry anything into.",
        ),
        (team(rate_limits=[{"requests_per_minute": 0}]), f"{RATE}.requests_per_minute: not between 1 and {10**15}"),
        (team(rate_limits=[{"requests_per_minute": 1.5}]), f"{RATE}.requests_per_minute: not a whole number"),
        (
            team(rate_limits=[{"requests_per_minute": 1}, {"requests_per_minute": 2, "model": "*"}]),
            "teams[0].rate_limits[1].requests_per_minute: given in an earlier entry already",
        ),
        (
            team(rate_limits=[{"requests_per_hour": 1}]),
            f"{RATE}.requests_per_hour: unknown key; did you mean requests_per_minute?",
        ),
        (key(rate_limits={"requests_per_minute": 1}), f"{KEY}.rate_limits: not a list"),
        (top(organization=[1]), "organization: not a mapping"),
        (top(organization={"on_counter_loss": "maybe"}), "organization.on_counter_loss: Value 'maybe' is not a valid choice."),
        (
            top(organization={"timezone": "Mars/Olympus"}),
            "organization.timezone: 'Mars/Olympus' is not a time zone of the IANA database, such as Europe/Berlin",
        ),
        (top(organization={"fiscal_start_month": 13}), "organization.fiscal_start_month: A month is a number from 1 to 12."),
        (top(organization={"budget": []}), "organization.budget: unknown key; did you mean budgets?"),
        (top(users=[{"budgets": []}]), "users[0].email: required"),
    ],
)  # fmt: skip
def test_what_is_no_limit_is_refused_with_the_path_to_it(change: Callable[[Any], None], said: str) -> None:
    content = whole()
    change(content)
    assert said in refusal(content)
    assert not Budget.objects.exists()
    assert not RateLimit.objects.exists()


def test_a_limit_belongs_to_its_teams_history() -> None:
    apply(limited())
    assert AuditEvent.objects.get(object_type="budget", object_name__contains="platform/default/ci").team == "platform"
    with changing(Actor("tests", "system")) as change:
        change.delete(Budget.objects.get(scope="key"))
