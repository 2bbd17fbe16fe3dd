"""Budgets and limits on the dashboard: who sees and may do what, asking for more and deciding, setting limits."""

import json
import re
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounting.audit.changes import changing
from accounting.limits.refusal import budget_reached
from accounting.limits.samples import budget_sample
from accounting.limits.shown import show_budgets
from accounting.models import AuditEvent, Budget, BudgetRequest, RateLimit
from accounting.templatetags.limits import cents
from routing.formats.errors import render_error
from routing.proxy.limit_answers import refused
from tests.pages.conftest import World, signed_in
from tests.pages.page_form import fields_of
from tests.pages.teams import SYSTEM, TeamWorld, add_people, spend

BUDGETS, LIMITS = "/teams/platform/budgets/", "/teams/platform/limits/"


@pytest.fixture
def team(world: World) -> TeamWorld:
    return add_people(world)


def shown(answer: Any) -> str:
    """The text of a page without its tags."""
    assert answer.status_code in (200, 400), answer.status_code
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.content.decode()))


def until(days: int = 2) -> str:
    return f"{timezone.now() + timedelta(days=days):%Y-%m-%dT%H:%M:%S}"


def ask(team: TeamWorld, who: str = "sam", budget: str = "team", **fields: Any) -> Any:
    body = {"amount": "25", "until": until(), "reason": "launch", **fields}
    return team.as_(who).post(f"{BUDGETS}{team.budgets[budget].pk}/ask/", body)


@pytest.mark.parametrize(
    ("amount", "written"),
    [
        ("24.339907455", "$24.34"),
        ("4975.660092545", "$4,975.66"),
        ("0.00163", "$0.0016"),
        ("0", "$0.00"),
        ("0.5", "$0.50"),
    ],
)
def test_sums_read_to_the_cent_and_small_ones_are_not_nothing(amount: str, written: str) -> None:
    assert cents(Decimal(amount)) == written


class TestReading:
    def test_everything_that_applies_is_listed_and_nothing_else(self, team: TeamWorld) -> None:
        text = shown(team.as_("sam").get(BUDGETS))
        for name in ("Organization", "Team platform", "Project default", "Key default/ci", "sam@example.org"):
            assert name in text
        assert "theirs" not in text
        assert "sam@example.org a day" not in shown(team.as_("olga").get(BUDGETS))

    def test_bars_tell_what_is_spent_and_where_soft_limits_are(self, team: TeamWorld) -> None:
        spend("300")
        page = team.as_("sam").get(BUDGETS).content.decode()
        assert "60 % used: $300.00 of $500.00" in page
        assert page.count('class="soft passed"') == 1  # 50 % is reached, 80 % is not
        assert "50 % reached" in page

    def test_a_raise_and_its_reason_are_explained(self, team: TeamWorld) -> None:
        budget = team.budgets["team"]
        budget.raise_amount, budget.raise_until = Decimal(125), timezone.now() + timedelta(days=2)
        budget.raise_reason = "the launch"
        with changing(SYSTEM) as change:
            change.save(budget)
        text = shown(team.as_("vic").get(f"{BUDGETS}{budget.pk}/"))
        assert "$625.00 = $500.00 + $125.00 raised" in text
        assert "the launch" in text

    def test_the_refusal_shown_is_the_one_that_the_gateway_sends(self, team: TeamWorld) -> None:
        budget = show_budgets([team.budgets["team"]], timezone.now())[0]
        now, at = budget.now.timestamp(), "https://gateway.example.com/limits/ask"
        sample = budget_sample(budget.standing, at, now)
        limit = budget.standing.limit
        reached = budget_reached(budget.standing.line, now, spent=limit, reserved=0, limit=limit)
        status, headers, body = render_error("anthropic", refused(reached, at), "req_…")
        assert (sample.status, json.loads(sample.body)) == (status, json.loads(body))
        assert dict(sample.headers) == {n.decode(): v.decode() for n, v in headers if n != b"content-type"}
        assert (
            f"/limits/ask?budget={budget.row.pk}" in team.as_("sam").get(f"{BUDGETS}{budget.row.pk}/").content.decode()
        )

    def test_rate_limits_are_listed_with_what_their_refusal_says(self, team: TeamWorld) -> None:
        text = shown(team.as_("vic").get(LIMITS))
        assert "60 requests per minute" in text
        assert "The limit of the key platform/default/ci, 60 requests per minute, is reached." in text

    @pytest.mark.parametrize("path", ["", "new/", "requests/", "{team}/", "{team}/ask/"])
    def test_strangers_find_nothing(self, team: TeamWorld, path: str) -> None:
        address = BUDGETS + path.format(team=team.budgets["team"].pk)
        assert [team.as_(who).get(address).status_code for who in ("eve", "nina")] == [404, 404]
        assert Client().get(address).headers["location"].startswith("/accounts/login/")

    def test_budgets_of_others_are_not_there(self, team: TeamWorld) -> None:
        for who, budget in (("olga", "other"), ("olga", "user"), ("sam", "other")):
            assert team.as_(who).get(f"{BUDGETS}{team.budgets[budget].pk}/").status_code == 404

    def test_rate_limits_ask_the_database_a_few_times(
        self, team: TeamWorld, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        client = team.as_("adam")
        with django_assert_max_num_queries(14):
            assert client.get(LIMITS).status_code == 200

    @pytest.mark.parametrize("path", ["", "requests/", "{team}/"])
    def test_pages_ask_the_database_a_few_times(
        self, team: TeamWorld, django_assert_max_num_queries: DjangoAssertNumQueries, path: str
    ) -> None:
        client = team.as_("adam")
        with django_assert_max_num_queries(14):
            assert client.get(BUDGETS + path.format(team=team.budgets["team"].pk)).status_code == 200


class TestLinkOfRefusals:
    def test_it_leads_a_member_to_the_form(self, team: TeamWorld) -> None:
        for who, budget in (("sam", "team"), ("sam", "key"), ("sam", "user"), ("ada", "project")):
            answer = team.as_(who).get("/limits/ask", {"budget": team.budgets[budget].pk}, follow=True)
            assert answer.redirect_chain[-1][0] == f"{BUDGETS}{team.budgets[budget].pk}/ask/"
            assert fields_of(answer.content, "ask")["amount"]

    def test_it_waits_for_the_sign_in(self, team: TeamWorld) -> None:
        answer = Client().get("/limits/ask?budget=7")
        assert answer.headers["location"] == "/accounts/login/?next=/limits/ask%3Fbudget%3D7"

    def test_who_may_not_ask_is_told_whom_to_turn_to(self, team: TeamWorld) -> None:
        for who, budget, sentence in (
            ("sam", "organization", "Only a platform administrator raises it"),
            ("vic", "team", "your role is for reading"),
        ):
            answer = team.as_(who).get("/limits/ask", {"budget": team.budgets[budget].pk}, follow=True)
            assert sentence in shown(answer)

    @pytest.mark.parametrize("number", ["", "x", "0", "99999999999999999999", "999"])
    def test_a_budget_that_is_not_there_is_none(self, team: TeamWorld, number: str) -> None:
        assert team.as_("sam").get("/limits/ask", {"budget": number}).status_code == 404

    def test_a_strangers_budget_is_none(self, team: TeamWorld) -> None:
        for who, budget in (("eve", "team"), ("olga", "user"), ("nina", "project")):
            assert team.as_(who).get("/limits/ask", {"budget": team.budgets[budget].pk}).status_code == 404


class TestAsking:
    def test_a_request_is_made_followed_and_approved(self, team: TeamWorld) -> None:
        followed = ask(team).headers["location"]
        assert "waits" in shown(team.as_("sam").get(followed))
        page = team.as_("olga").get(followed)
        assert "$525.00" in shown(page)  # what approving would do
        form = fields_of(page.content, "decide")
        answer = team.as_("olga").post(followed, {**form, "decision": "approve"}, follow=True)
        assert "Approved: the budget is raised." in shown(answer)
        assert BudgetRequest.objects.get().state == "approved"
        assert Budget.objects.get(pk=team.budgets["team"].pk).raise_amount == 25
        assert "approved" in shown(team.as_("sam").get(f"{BUDGETS}requests/?show=mine"))

    def test_another_amount_is_a_change(self, team: TeamWorld) -> None:
        followed = ask(team).headers["location"]
        form = fields_of(team.as_("adam").get(followed).content, "decide")
        team.as_("adam").post(followed, {**form, "decision": "approve", "amount": "10", "comment": "half"})
        row = BudgetRequest.objects.get()
        assert (row.state, row.decided_amount, row.comment) == ("changed", 10, "half")

    def test_a_refusal_needs_no_amount(self, team: TeamWorld) -> None:
        followed = ask(team).headers["location"]
        team.as_("adam").post(followed, {"decision": "refuse", "comment": "not now"})
        row = BudgetRequest.objects.get()
        assert (row.state, row.comment) == ("refused", "not now")

    @pytest.mark.parametrize(("who", "status"), [("sam", 403), ("vic", 403), ("audrey", 403), ("eve", 404)])
    def test_others_do_not_decide(self, team: TeamWorld, who: str, status: int) -> None:
        followed = ask(team).headers["location"]
        answer = team.as_(who).post(followed, {"decision": "approve", "amount": "25", "until": until()})
        assert answer.status_code == status
        assert BudgetRequest.objects.get().state == "open"

    def test_an_owner_does_not_decide_about_their_own(self, team: TeamWorld) -> None:
        followed = ask(team, "olga").headers["location"]
        assert b'id="decide"' not in team.as_("olga").get(followed).content
        assert team.as_("olga").post(followed, {"decision": "refuse"}).status_code == 403
        assert b'id="decide"' in team.as_("ada").get(followed).content

    @pytest.mark.parametrize(
        ("fields", "sentence"),
        [
            ({"amount": "-5"}, "An amount is more than 0"),
            ({"amount": "x"}, "Enter a number."),
            ({"until": "2020-01-01T00:00"}, "This moment is over"),
            ({"until": "2099-01-01T00:00"}, "At most a year from now"),
            ({"reason": ""}, "This field is required."),
        ],
    )
    def test_bad_input_is_told_beside_the_field_and_kept(
        self, team: TeamWorld, fields: dict[str, str], sentence: str
    ) -> None:
        answer = ask(team, **fields)
        assert (answer.status_code, sentence in shown(answer)) == (400, True)
        kept = fields_of(answer.content, "ask")
        assert all(kept[name] == value for name, value in fields.items() if name != "until")
        assert not BudgetRequest.objects.exists()

    def test_a_second_request_leads_to_the_first(self, team: TeamWorld) -> None:
        first = ask(team).headers["location"]
        assert ask(team).headers["location"] == first
        assert BudgetRequest.objects.count() == 1

    def test_a_request_is_withdrawn_by_whoever_asked(self, team: TeamWorld) -> None:
        followed = ask(team).headers["location"]
        assert team.as_("adam").post(f"{followed}withdraw/").status_code == 403
        assert team.as_("eve").post(f"{followed}withdraw/").status_code == 404
        assert "withdrawn" in shown(team.as_("sam").post(f"{followed}withdraw/", follow=True))

    def test_a_decision_is_made_once(self, team: TeamWorld) -> None:
        followed = ask(team).headers["location"]
        for decision in ("refuse", "approve"):
            answer = team.as_("adam").post(
                followed, {"decision": decision, "amount": "25", "until": until()}, follow=True
            )
        assert "not open any more" in shown(answer)
        assert BudgetRequest.objects.get().state == "refused"

    def test_a_viewer_does_not_ask(self, team: TeamWorld) -> None:
        assert ask(team, "vic").status_code == 403
        assert ask(team, "sam", "organization").status_code == 403

    def test_owners_see_what_waits_for_them(self, team: TeamWorld) -> None:
        ask(team)
        ask(team, "olga", "project")
        waiting = shown(team.as_("olga").get(f"{BUDGETS}requests/?show=waiting"))
        assert ("sam@example.org" in waiting, "Project default" in waiting) == (True, False)


class TestSetting:
    def new(self, team: TeamWorld, who: str, **fields: Any) -> Any:
        target = f"project:{team.world.project.pk}"
        body = {"target": target, "period": "day", "amount": "5", "hard": "on", "soft": "50", **fields}
        return team.as_(who).post(f"{BUDGETS}new/", body)

    def test_an_admin_of_the_team_sets_a_budget_for_a_project(self, team: TeamWorld) -> None:
        answer = self.new(team, "adam", model="claude-haiku-*")
        assert answer.status_code == 302, shown(answer)
        made = Budget.objects.get(model="claude-haiku-*")
        assert (made.scope, made.project, made.amount, made.soft) == ("project", team.world.project, 5, [50])
        event = AuditEvent.objects.get(object_type="budget", object_id=str(made.pk))
        assert (event.actor, event.action, event.team) == ("adam@example.org", "created", "platform")

    @pytest.mark.parametrize(("who", "status"), [("sam", 403), ("vic", 403), ("audrey", 403), ("eve", 404)])
    def test_others_set_nothing(self, team: TeamWorld, who: str, status: int) -> None:
        before = Budget.objects.count()
        assert self.new(team, who).status_code == status
        address = f"{BUDGETS}{team.budgets['project'].pk}/"
        assert team.as_(who).post(f"{address}change/", {"amount": "9"}).status_code == status
        assert team.as_(who).post(f"{address}delete/").status_code == status
        assert Budget.objects.count() == before

    def test_the_team_as_a_whole_is_for_administrators(self, team: TeamWorld) -> None:
        target = f"team:{team.world.team.pk}"
        assert self.new(team, "olga", target=target).status_code == 400
        for budget in ("team", "organization"):
            assert team.as_("olga").get(f"{BUDGETS}{team.budgets[budget].pk}/change/").status_code == 403
        assert self.new(team, "ada", target=target, amount="7").status_code == 302

    def test_a_key_of_another_team_is_no_choice(self, team: TeamWorld) -> None:
        answer = self.new(team, "olga", target=f"key:{team.other_key.pk}")
        assert "Select a valid choice" in shown(answer)

    def test_a_change_keeps_what_was_typed_and_names_what_is_wrong(self, team: TeamWorld) -> None:
        address = f"{BUDGETS}{team.budgets['project'].pk}/change/"
        form = fields_of(team.as_("adam").get(address).content, "limit")
        answer = team.as_("adam").post(address, {**form, "amount": "0", "soft": "50, x", "raise_amount": "5"})
        text = shown(answer)
        assert "An amount is more than 0" in text
        assert "Write whole percentages" in text
        assert fields_of(answer.content, "limit")["soft"] == "50, x"
        saved = team.as_("adam").post(address, {**form, "amount": "7"})
        assert saved.status_code == 302
        assert Budget.objects.get(pk=team.budgets["project"].pk).amount == 7

    def test_two_people_do_not_wipe_each_others_change(self, team: TeamWorld) -> None:
        address = f"{BUDGETS}{team.budgets['project'].pk}/change/"
        form = fields_of(team.as_("adam").get(address).content, "limit")
        team.as_("olga").post(address, {**form, "amount": "7"})
        answer = team.as_("adam").post(address, {**form, "soft": "10"})
        assert "olga@example.org changed amount while you were editing" in shown(answer)
        row = Budget.objects.get(pk=team.budgets["project"].pk)
        assert (row.amount, row.soft) == (7, [80])

    def test_there_is_one_budget_of_a_kind(self, team: TeamWorld) -> None:
        assert self.new(team, "adam").status_code == 302
        assert "There is such a budget already" in shown(self.new(team, "adam"))

    def test_a_budget_is_deleted_after_a_question(self, team: TeamWorld) -> None:
        address = f"{BUDGETS}{team.budgets['key'].pk}/delete/"
        assert "the audit log keeps what it was" in shown(team.as_("adam").get(address))
        assert team.as_("adam").post(address).status_code == 302
        assert not Budget.objects.filter(pk=team.budgets["key"].pk).exists()

    def test_rate_limits_are_set_the_same_way(self, team: TeamWorld) -> None:
        body = {"target": f"key:{team.world.key.pk}", "kind": "concurrent_streams", "amount": "4"}
        assert team.as_("sam").post(f"{LIMITS}new/", body).status_code == 403
        assert team.as_("adam").post(f"{LIMITS}new/", body).status_code == 302
        made = RateLimit.objects.get(kind="concurrent_streams")
        address = f"{LIMITS}{made.pk}/change/"
        form = fields_of(team.as_("adam").get(address).content, "limit")
        assert "from 1 to" in shown(team.as_("adam").post(address, {**form, "amount": "0"}))
        assert team.as_("adam").post(address, {**form, "amount": "9"}).status_code == 302
        assert team.as_("adam").post(f"{LIMITS}{made.pk}/delete/").status_code == 302
        assert list(RateLimit.objects.values_list("pk", flat=True)) == [team.world.rate.pk]

    def test_a_project_of_no_team_of_mine_is_not_changed_by_way_of_mine(self, team: TeamWorld) -> None:
        assert team.as_("olga").post(f"{BUDGETS}{team.budgets['other'].pk}/delete/").status_code == 404


def test_pages_are_drawn_for_an_empty_team(world: World) -> None:
    Budget.objects.all().delete()
    RateLimit.objects.all().delete()
    assert "Nothing stops the requests of this team" in shown(signed_in(world.stranger).get(BUDGETS))
    assert "No rate limit" in shown(signed_in(world.stranger).get(LIMITS))
