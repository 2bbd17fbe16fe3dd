"""Alerts on the dashboard: who sees and sets rules and destinations, what a test shows, secrets shown once."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries, Settings

from accounting.alerting.finding import Found
from accounting.alerting.raising import raise_alert
from accounting.alerting.sending import send_due
from accounting.models import AlertDestination, AlertRule
from tests.alerts.receiver import Receiver, receiver
from tests.alerts.test_sending import NOW
from tests.pages.conftest import World
from tests.pages.page_form import fields_of
from tests.pages.teams import TeamWorld, add_people
from tests.pages.test_budgets_page import shown

ALERTS = "/teams/platform/alerts/"
RULES, DESTINATIONS = f"{ALERTS}rules/", f"{ALERTS}destinations/"


@pytest.fixture
def team(world: World) -> TeamWorld:
    return add_people(world)


@pytest.fixture
def inbox(settings: Settings) -> Iterator[Receiver]:
    settings.GATEWAY_WEBHOOK_ALLOW_PRIVATE = True
    with receiver() as found:
        yield found


def new_hook(team: TeamWorld, url: str, who: str = "adam") -> Any:
    body = {"name": "hook", "url": url, "enabled": "on"}
    return team.as_(who).post(f"{DESTINATIONS}new/?kind=webhook", body)


def new_rule(team: TeamWorld, who: str = "adam", **fields: Any) -> Any:
    body = {"name": "errors", "percent": "20", "minutes": "10", "least_requests": "20", "enabled": "on", **fields}
    return team.as_(who).post(f"{RULES}new/?kind=error_share", body)


def secret_on(answer: Any) -> str:
    found = re.search(r"whsec_[A-Za-z0-9+/=]+", answer.content.decode())
    assert found
    return found.group()


def test_a_webhook_is_made_tested_and_its_history_is_shown(team: TeamWorld, inbox: Receiver) -> None:
    made = new_hook(team, inbox.url)
    secret = secret_on(made)
    address = f"{DESTINATIONS}{AlertDestination.objects.get().pk}/"
    assert "The test has arrived." in shown(team.as_("adam").post(f"{address}test/", follow=True))
    assert inbox.genuine(secret)
    inbox.statuses = [500]
    text = shown(team.as_("adam").post(f"{address}test/", follow=True))
    assert "The test did not arrive: answered 500." in text
    assert secret not in text
    assert "This is a test" in shown(team.as_("vic").get(ALERTS))
    fresh = secret_on(team.as_("adam").post(f"{address}rotate/"))
    assert fresh != secret


def test_a_rule_is_made_changed_and_deleted(team: TeamWorld, inbox: Receiver) -> None:
    new_hook(team, inbox.url)
    form = fields_of(team.as_("adam").get(f"{RULES}new/?kind=error_share").content, "alert")
    assert (form["percent"], form["minutes"]) == ("20", "10")
    hook = AlertDestination.objects.get().pk
    assert form["destinations"] == [str(hook)]  # what there is is proposed
    assert new_rule(team, destinations=[str(hook)]).status_code == 302
    rule = AlertRule.objects.get()
    assert (rule.team, rule.percent, rule.destinations) == (team.world.team, 20, [hook])
    assert "at least 20 %" in shown(team.as_("vic").get(RULES))
    address = f"{RULES}{rule.pk}/"
    form = fields_of(team.as_("olga").get(f"{address}change/").content, "alert")
    team.as_("adam").post(f"{address}change/", {**form, "percent": "30"})
    answer = team.as_("olga").post(f"{address}change/", {**form, "minutes": "5"})
    assert "adam@example.org changed per cent while you were editing" in shown(answer)
    assert team.as_("olga").post(f"{address}delete/").status_code == 302
    assert not AlertRule.objects.exists()


def test_bad_input_is_told_and_kept(team: TeamWorld) -> None:
    answer = new_rule(team, percent="101", name="")
    text = shown(answer)
    assert "A whole number from 1 to 100." in text
    assert "This field is required." in text
    assert fields_of(answer.content, "alert")["percent"] == "101"
    for url in ("http://example.com/", "https://127.0.0.1/hook"):
        answer = new_hook(team, url)
        assert answer.status_code == 400
        assert fields_of(answer.content, "alert")["url"] == url
    body = {"name": "people", "addresses": "olga@example.org\nnobody"}
    assert "nobody is not an e-mail address" in shown(team.as_("adam").post(f"{DESTINATIONS}new/?kind=mail", body))
    assert not AlertDestination.objects.exists()


@pytest.mark.parametrize(("who", "status"), [("sam", 403), ("vic", 403), ("audrey", 403), ("eve", 404), ("nina", 404)])
def test_others_set_nothing(team: TeamWorld, inbox: Receiver, who: str, status: int) -> None:
    new_hook(team, inbox.url)
    new_rule(team)
    rule, hook = AlertRule.objects.get(), AlertDestination.objects.get()
    assert new_rule(team, who).status_code == status
    assert new_hook(team, inbox.url, who).status_code == status
    destination = f"destinations/{hook.pk}/"
    paths = [f"{destination}{name}/" for name in ("change", "delete", "test", "rotate")]
    for path in (f"rules/{rule.pk}/change/", f"rules/{rule.pk}/delete/", *paths):
        assert team.as_(who).post(ALERTS + path, {"name": "x"}).status_code == status
    assert team.as_(who).get(f"{DESTINATIONS}{hook.pk}/").status_code == status
    assert not inbox.received


@pytest.mark.parametrize("path", [ALERTS, RULES, DESTINATIONS])
def test_members_read_and_strangers_find_nothing(
    team: TeamWorld, path: str, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    client = team.as_("vic")
    with django_assert_max_num_queries(14):
        assert client.get(path).status_code == 200
    assert [team.as_(who).get(path).status_code for who in ("audrey", "ada", "eve", "nina")] == [200, 200, 404, 404]
    assert Client().get(path).headers["location"].startswith("/accounts/login/")


def test_another_teams_rules_are_not_changed_by_way_of_ones_own(team: TeamWorld, inbox: Receiver) -> None:
    new_hook(team, inbox.url)
    new_rule(team)
    rule, hook = AlertRule.objects.get(), AlertDestination.objects.get()
    for path in (f"rules/{rule.pk}/change/", f"destinations/{hook.pk}/"):
        assert team.as_("eve").get(f"/teams/other/alerts/{path}").status_code == 404
    assert team.as_("eve").post(f"/teams/other/alerts/destinations/{hook.pk}/test/").status_code == 404


def test_the_address_of_a_webhook_is_for_those_who_set_it(team: TeamWorld) -> None:
    new_hook(team, "https://hooks.example.com/T0/secret-path")
    assert "secret-path" not in team.as_("sam").get(DESTINATIONS).content.decode()
    hook = AlertDestination.objects.get()
    assert "secret-path" in team.as_("adam").get(f"{DESTINATIONS}{hook.pk}/").content.decode()


def test_the_console_lists_what_was_raised_for_all(team: TeamWorld, inbox: Receiver) -> None:
    new_hook(team, inbox.url)
    new_rule(team, destinations=[str(AlertDestination.objects.get().pk)])
    raise_alert(AlertRule.objects.get(), Found("k", "Many fail", "3 of 4.", "requests/"), NOW)
    for who in ("ada", "audrey"):
        text = shown(team.as_(who).get("/admin/accounting/alertevent/"))
        assert "Many fail" in text
        assert "hook: waiting" in text


def test_what_was_raised_is_listed_with_how_sending_goes(team: TeamWorld, inbox: Receiver) -> None:
    new_hook(team, inbox.url)
    new_rule(team, destinations=[str(AlertDestination.objects.get().pk)])
    inbox.statuses = [500]
    raise_alert(AlertRule.objects.get(), Found("k", "Many fail", "3 of 4.", "requests/"), NOW)
    send_due(NOW)
    text = shown(team.as_("sam").get(ALERTS))
    assert "Many fail" in text
    assert "Sending to hook fails: answered 500." in text
    assert "hook: waits" in text
