"""Budgets in the REST API, and asking for more of them: who sees what, who may do what, what it does."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounting import services
from accounting.audit.changes import Actor, changing
from accounting.limits.asking import expire_requests
from accounting.models import AuditEvent, Budget, BudgetRequest, Membership, Project, RateLimit, Team, User, VirtualKey

pytestmark = pytest.mark.django_db
BUDGETS, REQUESTS, RATES = "/api/v1/budgets/", "/api/v1/budget-requests/", "/api/v1/rate-limits/"
SYSTEM = Actor("tests", "system")


class World:
    """Two teams with people, a budget of every scope, and a token of every kind."""

    def __init__(self) -> None:
        with changing(SYSTEM) as change:
            self.change = change
            self.alpha, self.beta = Team(name="alpha", timezone="Europe/Berlin"), Team(name="beta")
            change.save(self.alpha)
            change.save(self.beta)
            self.people = {
                name: self.person(name, team, role)
                for name, team, role in (
                    ("olga", self.alpha, "owner"),
                    ("adam", self.alpha, "admin"),
                    ("mia", self.alpha, "member"),
                    ("vic", self.alpha, "viewer"),
                    ("eve", self.beta, "owner"),
                    ("sam", None, ""),
                )
            }
            services.create_admin(change, "root@example.org")
            project = Project(team=self.alpha, name="default")
            change.save(project)
            key, _ = services.create_key(change, project, "ci")
            self.budgets = {
                "organization": self.budget(change, scope="organization"),
                "team": self.budget(change, scope="team", team=self.alpha, period="month", soft=[50]),
                "project": self.budget(change, scope="project", project=project, model="claude-opus-*"),
                "key": self.budget(change, scope="key", key=key, tag="a=b", period="total"),
                "user": self.budget(change, scope="user", user=self.people["mia"]),
                "other": self.budget(change, scope="team", team=self.beta),
            }
            self.tokens = {
                name: services.create_api_token(change, name, role=role, team=team, team_role=team_role)[1].reveal()
                for name, role, team, team_role in (
                    ("admin", "admin", None, ""),
                    ("auditor", "auditor", None, ""),
                    ("alpha-owner", "team", self.alpha, "owner"),
                    ("alpha-member", "team", self.alpha, "member"),
                    ("alpha-viewer", "team", self.alpha, "viewer"),
                    ("beta-owner", "team", self.beta, "owner"),
                )
            }

    def person(self, name: str, team: Team | None, role: str) -> User:
        user = services.create_user(self.change, f"{name}@example.org")
        if team is not None:
            self.change.save(Membership(team=team, user=user, role=role))
        return user

    def budget(self, change: Any, **fields: Any) -> Budget:
        row = Budget(**{"period": "day", "amount": Decimal(100), **fields})
        change.save(row)
        return row

    def call(self, who: str, path: str, body: Any = None, **query: Any) -> Any:
        """As a token's holder, or as a person who is signed in."""
        client, headers = Client(), {}
        if who in self.tokens:
            headers["authorization"] = f"Bearer {self.tokens[who]}"
        elif who:
            client.force_login(User.objects.get(email=f"{who}@example.org"))
        if body is None:
            return client.get(path, query, headers=headers)
        return client.post(path, json.dumps(body), content_type="application/json", headers=headers)

    def send(self, who: str, method: str, path: str, body: Any = None) -> Any:
        headers = {"authorization": f"Bearer {self.tokens[who]}"}
        return Client().generic(method, path, json.dumps(body), content_type="application/json", headers=headers)

    def scopes(self, who: str) -> set[str]:
        answer = self.call(who, BUDGETS)
        assert answer.status_code == 200, answer.content
        names = {row.pk: name for name, row in self.budgets.items()}
        return {names[entry["id"]] for entry in answer.json()["results"]}

    def ask(self, who: str, budget: str = "team", **fields: Any) -> Any:
        until = (timezone.now() + timedelta(days=2)).isoformat()
        body = {"budget": self.budgets[budget].pk, "amount": "25", "until": until, "reason": "launch", **fields}
        return self.call(who, REQUESTS, body)

    def decide(self, who: str, pk: int, decision: str = "approve", **fields: Any) -> Any:
        return self.call(who, f"{REQUESTS}{pk}/decide/", {"decision": decision, **fields})


@pytest.fixture
def world() -> World:
    return World()


class TestBudgets:
    def test_as_csv_all_visible_ones_are_one_table(self, world: World) -> None:
        answer = world.call("alpha-owner", BUDGETS, format="csv", page_size=1)
        assert answer["content-type"] == "text/csv; charset=utf-8"
        rows = list(csv.DictReader(io.StringIO(answer.getvalue().decode())))
        assert {int(row["id"]) for row in rows} == {world.budgets[name].pk for name in ("team", "project", "key")}
        row = next(row for row in rows if row["id"] == str(world.budgets["team"].pk))
        assert (row["amount"], row["remaining"], row["soft"], row["hard"]) == ("100", "100", "[50]", "true")
        assert json.loads(row["scope"])["name"] == "alpha"
        refused = world.call("", BUDGETS, format="csv")
        assert (refused.status_code, refused["content-type"]) == (401, "application/json")

    def test_a_budget_shows_exactly_the_fields_of_the_contract(self, world: World) -> None:
        row = world.budgets["team"]
        entry = next(each for each in world.call("admin", BUDGETS).json()["results"] if each["id"] == row.pk)
        now = datetime.now(UTC)
        resets = datetime.fromisoformat(entry.pop("resets_at"))
        begins = datetime.fromisoformat(entry.pop("period_start"))
        assert begins <= now < resets
        assert (resets - begins).days in range(27, 32)
        assert entry == {
            "id": row.pk,
            "scope": {"type": "team", "id": world.alpha.pk, "name": "alpha"},
            "model": None,
            "tag": None,
            "period": "month",
            "amount": "100",
            "limit": "100",
            "spent": "0",
            "reserved": "0",
            "remaining": "100",
            "hard": True,
            "soft": [50],
            "carry_over": False,
            "temporary_raise": None,
            "version": 1,
        }

    def test_scopes_are_named(self, world: World) -> None:
        entries = {each["id"]: each for each in world.call("admin", BUDGETS).json()["results"]}
        found = {name: entries[row.pk] for name, row in world.budgets.items()}
        assert found["organization"]["scope"] == {"type": "organization", "id": None, "name": "organization"}
        assert found["project"]["scope"]["name"] == "alpha/default"
        assert (found["project"]["model"], found["key"]["tag"]) == ("claude-opus-*", "a=b")
        assert found["key"]["scope"]["name"] == "alpha/default/ci"
        assert found["user"]["scope"]["name"] == "mia@example.org"
        assert (found["key"]["resets_at"], found["key"]["period_start"]) == (None, None)

    @pytest.mark.parametrize(
        ("who", "seen"),
        [
            ("admin", {"organization", "team", "project", "key", "user", "other"}),
            ("auditor", {"organization", "team", "project", "key", "user", "other"}),
            ("root", {"organization", "team", "project", "key", "user", "other"}),
            ("alpha-viewer", {"team", "project", "key"}),
            ("mia", {"team", "project", "key", "user"}),
            ("olga", {"team", "project", "key"}),
            ("beta-owner", {"other"}),
            ("eve", {"other"}),
            ("sam", set()),
        ],
    )
    def test_everybody_sees_their_own(self, world: World, who: str, seen: set[str]) -> None:
        assert world.scopes(who) == seen

    def test_without_a_token_there_is_nothing(self, world: World) -> None:
        assert world.call("", BUDGETS).status_code == 401
        assert world.call("", REQUESTS).status_code == 401
        assert Client().get(BUDGETS, headers={"authorization": "Bearer gwt_nonsense"}).status_code == 401

    def test_filters_narrow_and_unknown_ones_are_refused(self, world: World) -> None:
        assert world.call("admin", BUDGETS, scope="team").json()["count"] == 2
        assert world.call("admin", BUDGETS, team="alpha").json()["count"] == 3
        assert world.call("alpha-owner", BUDGETS, team="beta").json()["count"] == 0
        assert world.call("admin", BUDGETS, period="month").json()["count"] == 1
        assert world.call("admin", BUDGETS, nonsense="1").status_code == 400

    def test_disabled_budgets_are_not_shown(self, world: World) -> None:
        Budget.objects.filter(pk=world.budgets["team"].pk).update(enabled=False)
        assert "team" not in world.scopes("admin")


class TestAsking:
    def test_a_member_asks_and_the_owner_approves(self, world: World) -> None:
        asked = world.ask("mia")
        assert asked.status_code == 201, asked.content
        request = asked.json()
        assert (request["asked_by"], request["state"], request["amount"]) == ("mia@example.org", "open", "25")
        decided = world.decide("olga", request["id"])
        assert decided.status_code == 200, decided.content
        assert (decided.json()["state"], decided.json()["decided_by"]) == ("approved", "olga@example.org")
        budget = Budget.objects.get(pk=world.budgets["team"].pk)
        assert budget.raise_amount == 25
        assert budget.raise_until == BudgetRequest.objects.get().until
        entry = next(each for each in world.call("mia", BUDGETS).json()["results"] if each["id"] == budget.pk)
        assert (entry["amount"], entry["limit"], entry["temporary_raise"]["amount"]) == ("100", "125", "25")
        events = AuditEvent.objects.filter(team="alpha", action__in=["asked", "decided", "raised"]).order_by("id")
        assert [(event.action, event.actor) for event in events] == [
            ("asked", "mia@example.org"),
            ("raised", "olga@example.org"),
            ("decided", "olga@example.org"),
        ]

    def test_a_change_is_approved_with_its_own_amount(self, world: World) -> None:
        pk = world.ask("mia").json()["id"]
        assert world.decide("adam", pk, "change", amount="10", comment="half of it").json()["state"] == "changed"
        assert Budget.objects.get(pk=world.budgets["team"].pk).raise_amount == 10

    def test_a_refusal_raises_nothing(self, world: World) -> None:
        pk = world.ask("mia").json()["id"]
        assert world.decide("olga", pk, "refuse").json()["state"] == "refused"
        assert Budget.objects.get(pk=world.budgets["team"].pk).raise_amount is None

    def test_raises_that_are_in_force_add_up(self, world: World) -> None:
        for who in ("mia", "adam"):
            assert world.decide("olga", world.ask(who).json()["id"]).status_code == 200
        assert Budget.objects.get(pk=world.budgets["team"].pk).raise_amount == 50

    @pytest.mark.parametrize(
        ("who", "status"), [("mia", 403), ("vic", 403), ("auditor", 403), ("eve", 404), ("sam", 404)]
    )
    def test_others_do_not_decide(self, world: World, who: str, status: int) -> None:
        pk = world.ask("mia").json()["id"]
        assert world.decide(who, pk).status_code == status
        assert BudgetRequest.objects.get().state == "open"

    def test_nobody_decides_about_their_own_but_an_administrator(self, world: World) -> None:
        assert world.decide("olga", world.ask("olga").json()["id"]).status_code == 403
        assert world.decide("root", world.ask("root").json()["id"]).status_code == 200

    @pytest.mark.parametrize("budget", ["organization", "user"])
    def test_budgets_of_no_team_are_for_administrators_to_decide(self, world: World, budget: str) -> None:
        pk = world.ask("root" if budget == "organization" else "mia", budget).json()["id"]
        assert world.decide("olga", pk).status_code == 404
        assert world.decide("root", pk).status_code == 200

    @pytest.mark.parametrize(
        ("who", "budget", "status"),
        [
            ("vic", "team", 403),
            ("auditor", "team", 403),
            ("alpha-viewer", "team", 403),
            ("eve", "team", 400),
            ("sam", "team", 400),
            ("mia", "organization", 400),
            ("olga", "user", 400),
            ("mia", "user", 201),
            ("alpha-member", "key", 201),
        ],
    )
    def test_who_may_ask(self, world: World, who: str, budget: str, status: int) -> None:
        assert world.ask(who, budget).status_code == status

    def test_strangers_see_no_requests(self, world: World) -> None:
        world.ask("mia")
        assert [world.call(who, REQUESTS).json()["count"] for who in ("vic", "root", "eve", "sam")] == [1, 1, 0, 0]

    @pytest.mark.parametrize(
        "fields",
        [
            {"amount": "0"},
            {"amount": "-5"},
            {"amount": "NaN"},
            {"amount": "Infinity"},
            {"amount": "9000001"},
            {"until": "2020-01-01T00:00:00Z"},
            {"until": "2099-01-01T00:00:00Z"},
            {"until": "soon"},
            {"reason": ""},
        ],
    )
    def test_what_makes_no_sense_is_refused(self, world: World, fields: dict[str, Any]) -> None:
        assert world.ask("mia", **fields).status_code == 400
        assert world.call("mia", REQUESTS, {"budget": 999_999}).status_code == 400
        assert not BudgetRequest.objects.exists()

    def test_one_open_request_for_each_person_and_budget(self, world: World) -> None:
        pk = world.ask("mia").json()["id"]
        assert world.ask("mia").status_code == 400
        assert world.call("olga", f"{REQUESTS}{pk}/withdraw/", {}).status_code == 403
        assert world.call("mia", f"{REQUESTS}{pk}/withdraw/", {}).json()["state"] == "withdrawn"
        assert world.ask("mia").status_code == 201

    def test_a_decision_is_made_once(self, world: World) -> None:
        pk = world.ask("mia").json()["id"]
        assert world.decide("olga", pk).status_code == 200
        assert world.decide("adam", pk, "refuse").status_code == 400
        assert world.decide("olga", pk + 1).status_code == 404

    @pytest.mark.parametrize(
        "body",
        [{}, {"decision": "maybe"}, {"decision": "change", "amount": "NaN"}, {"decision": "approve", "amount": "1"}],
    )
    def test_what_is_no_decision_is_refused(self, world: World, body: dict[str, Any]) -> None:
        pk = world.ask("mia").json()["id"]
        assert world.call("olga", f"{REQUESTS}{pk}/decide/", body).status_code == 400
        assert BudgetRequest.objects.get().state == "open"

    def test_it_expires_by_itself(self, world: World) -> None:
        pk = world.ask("mia").json()["id"]
        assert expire_requests(timezone.now()) == 0
        assert expire_requests(timezone.now() + timedelta(days=3)) == 1
        assert BudgetRequest.objects.get(pk=pk).state == "expired"
        assert world.decide("olga", pk).status_code == 400


class TestSetting:
    def new(self, world: World, who: str, kind: str = "project", **fields: Any) -> Any:
        owners = {"project": Project.objects.get().pk, "key": VirtualKey.objects.get().pk, "team": world.alpha.pk}
        scope = {"type": kind, "id": owners.get(kind)}
        return world.send(who, "POST", BUDGETS, {"scope": scope, "period": "month", "amount": "12.50", **fields})

    @pytest.mark.parametrize(
        ("who", "kind", "status"),
        [
            ("alpha-owner", "project", 201),
            ("alpha-owner", "key", 201),
            ("alpha-owner", "team", 403),
            ("alpha-owner", "organization", 403),
            ("admin", "team", 201),
            ("admin", "organization", 201),
            ("alpha-member", "project", 403),
            ("alpha-viewer", "key", 403),
            ("auditor", "project", 403),
            ("beta-owner", "project", 400),
        ],
    )
    def test_who_sets_what(self, world: World, who: str, kind: str, status: int) -> None:
        before = Budget.objects.count()
        answer = self.new(world, who, kind, model="claude-haiku-*")
        assert answer.status_code == status, answer.content
        assert Budget.objects.count() == before + (status == 201)

    def test_a_budget_is_read_changed_and_deleted(self, world: World) -> None:
        made = self.new(world, "alpha-owner", soft=[80, 50], carry_over=True).json()
        assert (made["amount"], made["version"], made["carry_over"]) == ("12.5", 1, True)
        address = f"{BUDGETS}{made['id']}/"
        until = (timezone.now() + timedelta(days=2)).isoformat()
        given = {"amount": "20", "temporary_raise": {"amount": "5", "until": until, "reason": "launch"}, "version": 1}
        changed = world.send("alpha-owner", "PATCH", address, given).json()
        assert (changed["amount"], changed["limit"], changed["version"]) == ("20", "25", 2)
        assert changed["soft"] == [80, 50]
        assert world.send("alpha-owner", "PATCH", address, {"amount": "30", "version": 1}).status_code == 409
        lowered = world.send("alpha-owner", "PATCH", address, {"temporary_raise": None}).json()
        assert (lowered["limit"], lowered["temporary_raise"]) == ("20", None)
        assert world.send("beta-owner", "GET", address).status_code == 404
        assert world.send("beta-owner", "DELETE", address).status_code == 404
        assert world.send("alpha-member", "PATCH", address, {"amount": "1"}).status_code == 403
        assert world.send("alpha-viewer", "DELETE", address).status_code == 403
        assert world.send("auditor", "DELETE", address).status_code == 403
        assert world.send("alpha-owner", "DELETE", address).status_code == 204
        assert world.send("alpha-owner", "GET", address).status_code == 404
        actions = AuditEvent.objects.filter(object_type="budget", object_id=str(made["id"])).order_by("id")
        assert [event.action for event in actions] == ["created", "changed", "changed", "deleted"]

    def test_the_teams_total_is_not_the_teams_to_change(self, world: World) -> None:
        address = f"{BUDGETS}{world.budgets['team'].pk}/"
        assert world.send("alpha-owner", "PATCH", address, {"amount": "1000"}).status_code == 403
        assert world.send("alpha-owner", "DELETE", address).status_code == 403
        assert world.send("admin", "PATCH", address, {"amount": "1000"}).json()["amount"] == "1000"

    @pytest.mark.parametrize(
        "fields",
        [
            {"amount": "0"},
            {"amount": "NaN"},
            {"period": "year"},
            {"soft": [0]},
            {"soft": "50"},
            {"tag": "x"},
            {"model": "a b"},
            {"nonsense": 1},
            {"scope": {"type": "project", "id": 10**30}},
            {"scope": {"type": "project"}},
            {"temporary_raise": {"amount": "5"}},
            {"carry_over": True, "period": "total"},
        ],
    )
    def test_what_makes_no_sense_is_refused(self, world: World, fields: dict[str, Any]) -> None:
        assert self.new(world, "alpha-owner", **fields).status_code == 400

    def test_what_a_limit_is_for_stays(self, world: World) -> None:
        address = f"{BUDGETS}{self.new(world, 'admin').json()['id']}/"
        assert world.send("admin", "PATCH", address, {"scope": {"type": "organization"}}).status_code == 400

    def test_rate_limits_are_made_read_changed_and_deleted(self, world: World) -> None:
        scope = {"type": "key", "id": VirtualKey.objects.get().pk}
        body = {"scope": scope, "kind": "requests_per_minute", "amount": 60}
        assert world.send("alpha-member", "POST", RATES, body).status_code == 403
        assert world.send("beta-owner", "POST", RATES, body).status_code == 400
        made = world.send("alpha-owner", "POST", RATES, body).json()
        assert made["scope"]["name"] == "alpha/default/ci"
        address = f"{RATES}{made['id']}/"
        assert world.send("alpha-viewer", "GET", address).json() == made
        assert world.call("mia", RATES, kind="requests_per_minute").json()["results"] == [made]
        assert world.call("eve", RATES).json()["count"] == 0
        assert world.call("", RATES).status_code == 401
        assert world.send("alpha-owner", "PATCH", address, {"amount": 9, "version": 1}).json()["amount"] == 9
        assert world.send("alpha-owner", "PATCH", address, {"amount": 0}).status_code == 400
        assert world.send("alpha-owner", "PATCH", address, {"amount": 8, "version": 1}).status_code == 409
        assert world.send("alpha-member", "DELETE", address).status_code == 403
        assert world.send("beta-owner", "DELETE", address).status_code == 404
        assert world.send("alpha-owner", "DELETE", address).status_code == 204
        assert not RateLimit.objects.exists()
