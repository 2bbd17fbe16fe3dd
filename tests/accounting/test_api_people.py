"""Members, invitations, projects and audit events in the REST API: who sees what, who may do what, what it does."""

import csv
import io
import json
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounting import services
from accounting.audit.changes import Actor, changing
from accounting.models import AuditEvent, Invitation, Membership, Project, Team, User, VirtualKey
from gateway_project.console.access import auditors

pytestmark = pytest.mark.django_db
MEMBERS, INVITATIONS, PROJECTS, EVENTS = (
    f"/api/v1/{name}/" for name in ("members", "invitations", "projects", "audit-events")
)
SYSTEM = Actor("tests", "system")
EVERYBODY = ("admin", "auditor", "alpha-owner", "alpha-admin", "alpha-member", "alpha-viewer", "beta-owner")


class World:
    """Two teams with people, and a token of every kind."""

    def __init__(self) -> None:
        with changing(SYSTEM) as change:
            self.alpha, self.beta = Team(name="alpha"), Team(name="beta")
            change.save(self.alpha)
            change.save(self.beta)
            for name, team, role in (
                ("olga", self.alpha, "owner"), ("adam", self.alpha, "admin"), ("mia", self.alpha, "member"),
                ("vic", self.alpha, "viewer"), ("eve", self.beta, "owner"), ("sam", None, ""),
            ):  # fmt: skip
                user = services.create_user(change, f"{name}@example.org")
                if team is not None:
                    change.save(Membership(team=team, user=user, role=role))
            services.create_admin(change, "root@example.org")
            self.projects = {team.name: Project(team=team, name="default") for team in (self.alpha, self.beta)}
            for project in self.projects.values():
                change.save(project)
            services.create_key(
                change,
                self.projects["alpha"],
                "laptop",
                kind="personal",
                owner=User.objects.get(email__startswith="mia"),
            )
            self.tokens = {
                name: services.create_api_token(change, name, role=role, team=team, team_role=team_role)[1].reveal()
                for name, role, team, team_role in (
                    ("admin", "admin", None, ""), ("auditor", "auditor", None, ""),
                    ("alpha-owner", "team", self.alpha, "owner"), ("alpha-admin", "team", self.alpha, "admin"),
                    ("alpha-member", "team", self.alpha, "member"), ("alpha-viewer", "team", self.alpha, "viewer"),
                    ("beta-owner", "team", self.beta, "owner"),
                )
            }  # fmt: skip

    def member(self, name: str) -> Membership:
        return Membership.objects.get(user__email=f"{name}@example.org")

    def call(self, who: str, path: str, body: Any = None, method: str = "", **query: Any) -> Any:
        """As a token's holder, or as a person who is signed in."""
        client, headers = Client(), {}
        if who in self.tokens:
            headers["authorization"] = f"Bearer {self.tokens[who]}"
        elif who:
            client.force_login(User.objects.get(email=f"{who}@example.org"))
        if body is None and not method:
            return client.get(path, query, headers=headers)
        send = getattr(client, method or "post")
        return send(path, json.dumps(body), content_type="application/json", headers=headers)

    def seen(self, who: str, path: str, field: str) -> set[str]:
        answer = self.call(who, path)
        assert answer.status_code == 200, answer.content
        return {str(entry[field]) for entry in answer.json()["results"]}


@pytest.fixture
def world() -> World:
    return World()


class TestReading:
    @pytest.mark.parametrize("path", [MEMBERS, INVITATIONS, PROJECTS, EVENTS])
    def test_takes_a_token_or_a_session(self, path: str, world: World) -> None:
        assert world.call("", path).status_code == 401
        assert world.call("alpha-viewer", path)["cache-control"] == "private, no-store"

    @pytest.mark.parametrize(
        ("who", "teams"),
        [
            ("admin", {"alpha", "beta"}), ("auditor", {"alpha", "beta"}), ("root", {"alpha", "beta"}),
            ("alpha-viewer", {"alpha"}), ("vic", {"alpha"}), ("beta-owner", {"beta"}), ("sam", set()),
        ],
    )  # fmt: skip
    def test_everybody_sees_the_teams_that_are_theirs(self, who: str, teams: set[str], world: World) -> None:
        assert world.seen(who, MEMBERS, "team") == teams
        assert world.seen(who, PROJECTS, "team") == teams
        assert world.seen(who, EVENTS, "team") - {""} == teams

    def test_an_auditor_who_is_signed_in_sees_everything_and_changes_nothing(self, world: World) -> None:
        user = User.objects.get(email="sam@example.org")
        user.is_staff = True
        user.save()
        user.groups.add(auditors())
        assert world.seen("sam", MEMBERS, "team") == {"alpha", "beta"}
        refused = world.call("sam", PROJECTS, {"team": "alpha", "name": "mine"})
        assert refused.status_code == 403

    @pytest.mark.parametrize("path", [MEMBERS, INVITATIONS, PROJECTS, EVENTS])
    def test_filters_that_do_not_exist_are_refused(self, path: str, world: World) -> None:
        assert world.call("admin", path, nonsense="x").status_code == 400
        assert world.call("admin", path, team="").status_code == 400

    @pytest.mark.parametrize("path", [f"{MEMBERS}{{}}/", f"{PROJECTS}{{}}/"])
    def test_another_teams_rows_are_not_found(self, path: str, world: World) -> None:
        number = world.member("vic").pk if path.startswith(MEMBERS) else world.projects["alpha"].pk
        address = path.format(number)
        assert world.call("alpha-viewer", address).status_code == 200
        for who in ("beta-owner", "eve", "sam"):
            assert world.call(who, address).status_code == 404
            assert world.call(who, address, {"role": "owner", "enabled": False}, "patch").status_code == 404


class TestMembers:
    def test_a_member_shows_exactly_the_fields_of_the_contract(self, world: World) -> None:
        row = world.member("vic")
        entry = world.call("alpha-viewer", f"{MEMBERS}{row.pk}/").json()
        assert list(entry) == ["id", "team", "email", "name", "role", "joined_at", "last_seen", "version"]
        assert (entry["email"], entry["role"], entry["last_seen"]) == ("vic@example.org", "viewer", None)

    @pytest.mark.parametrize(
        ("who", "status"),
        [
            ("admin", 200), ("alpha-owner", 200), ("alpha-admin", 200), ("alpha-member", 403), ("alpha-viewer", 403),
            ("auditor", 403), ("beta-owner", 404), ("olga", 200), ("mia", 403), ("sam", 404),
        ],
    )  # fmt: skip
    def test_who_changes_a_role(self, who: str, status: int, world: World) -> None:
        address = f"{MEMBERS}{world.member('vic').pk}/"
        assert world.call(who, address, {"role": "member"}, "patch").status_code == status
        assert world.member("vic").role == ("member" if status == 200 else "viewer")

    def test_only_owners_give_and_take_admin_and_owner(self, world: World) -> None:
        adam, vic = (f"{MEMBERS}{world.member(name).pk}/" for name in ("adam", "vic"))
        for address, role in ((vic, "owner"), (adam, "viewer")):
            assert world.call("alpha-admin", address, {"role": role}, "patch").status_code == 403
            assert world.call("alpha-owner", address, {"role": role}, "patch").status_code == 200

    def test_an_older_version_and_an_unknown_role_are_refused(self, world: World) -> None:
        address = f"{MEMBERS}{world.member('vic').pk}/"
        assert world.call("olga", address, {"role": "member", "version": 1}, "patch").status_code == 200
        assert world.call("olga", address, {"role": "admin", "version": 1}, "patch").status_code == 409
        assert world.call("olga", address, {"role": "king"}, "patch").status_code == 400
        assert world.member("vic").role == "member"

    def test_removal_answers_with_what_went(self, world: World) -> None:
        address = f"{MEMBERS}{world.member('mia').pk}/"
        key = VirtualKey.objects.get()
        assert world.call("mia", f"{MEMBERS}{world.member('vic').pk}/", None, "delete").status_code == 403
        gone = world.call("alpha-admin", address, None, "delete").json()
        assert gone == {"revoked_keys": [key.prefix], "withdrawn_invitations": 0}
        key.refresh_from_db()
        assert key.revoked_at is not None
        assert world.call("alpha-admin", address, None, "delete").status_code == 404

    def test_the_last_owner_stays(self, world: World) -> None:
        address = f"{MEMBERS}{world.member('olga').pk}/"
        for who, body, method in (("olga", None, "delete"), ("admin", {"role": "member"}, "patch")):
            refused = world.call(who, address, body, method)
            assert (refused.status_code, "only owner" in refused.content.decode()) == (400, True)

    def test_an_owner_hands_over(self, world: World) -> None:
        address = f"{MEMBERS}{world.member('mia').pk}/hand-over/"
        for who in ("alpha-owner", "adam", "admin"):
            assert world.call(who, address, {}).status_code == 403
        assert world.call("olga", address, {}).json()["role"] == "owner"
        assert world.member("olga").role == "admin"


class TestInvitations:
    def test_the_link_is_in_the_answer_and_nowhere_after(self, world: World) -> None:
        answer = world.call("alpha-admin", INVITATIONS, {"team": "alpha", "role": "viewer", "days": 1})
        assert answer.status_code == 201
        link = answer.json()["link"]
        assert Client().get(link.removeprefix("http://testserver")).status_code == 200
        listed = world.call("alpha-admin", INVITATIONS).json()["results"]
        assert (listed[0]["state"], "link" in listed[0]) == ("open", False)
        assert link.split("/")[-2] not in str(listed)

    @pytest.mark.parametrize(
        ("who", "status"),
        [
            ("admin", 201), ("alpha-owner", 201), ("alpha-admin", 201), ("alpha-member", 403), ("vic", 403),
            ("auditor", 403), ("beta-owner", 400), ("sam", 400),
        ],
    )  # fmt: skip
    def test_who_invites(self, who: str, status: int, world: World) -> None:
        assert world.call(who, INVITATIONS, {"team": "alpha", "role": "member"}).status_code == status
        assert Invitation.objects.count() == (1 if status == 201 else 0)

    def test_only_admins_see_them(self, world: World) -> None:
        world.call("alpha-owner", INVITATIONS, {"team": "alpha", "role": "member", "email": "n@example.org"})
        seen = {who: bool(world.seen(who, INVITATIONS, "email")) for who in EVERYBODY}
        assert seen == {
            "admin": True, "auditor": True, "alpha-owner": True, "alpha-admin": True, "alpha-member": False,
            "alpha-viewer": False, "beta-owner": False,
        }  # fmt: skip

    def test_one_is_withdrawn(self, world: World) -> None:
        made = world.call("alpha-owner", INVITATIONS, {"team": "alpha", "role": "admin"}).json()
        address = f"{INVITATIONS}{made['id']}/withdraw/"
        assert world.call("beta-owner", address, {}).status_code == 404
        assert world.call("alpha-admin", address, {}).status_code == 403
        assert world.call("alpha-owner", address, {}).json()["state"] == "withdrawn"
        assert world.call("alpha-owner", address, {}).status_code == 200, "twice does no harm"
        assert Invitation.objects.get().state(timezone.now()) == "withdrawn"
        open_ones = world.call("alpha-owner", INVITATIONS, open="true").json()
        assert open_ones["results"] == []

    @pytest.mark.parametrize(
        "body",
        [
            {"team": "alpha"}, {"team": "alpha", "role": "king"}, {"team": "alpha", "role": "member", "days": 2},
            {"team": "alpha", "role": "member", "email": "nobody"}, {"team": "nowhere", "role": "member"},
            {"team": "alpha", "role": "member", "email": "vic@example.org"},
            {"team": "alpha", "role": "member", "email": "n@example.org", "mailed": True}, [], "x",
        ],
    )  # fmt: skip
    def test_what_makes_no_sense_is_refused(self, body: Any, world: World) -> None:
        assert world.call("alpha-owner", INVITATIONS, body).status_code == 400
        assert not Invitation.objects.exists()


class TestProjects:
    def test_one_is_made_changed_and_disabled(self, world: World) -> None:
        made = world.call("alpha-admin", PROJECTS, {"team": "alpha", "name": "search"}).json()
        address = f"{PROJECTS}{made['id']}/"
        assert list(made) == ["id", "team", "name", "display_name", "enabled", "keys", "created_at", "version"]
        changed = world.call("alpha-admin", address, {"display_name": "The search", "version": 1}, "patch").json()
        assert (changed["display_name"], changed["enabled"]) == ("The search", True)
        assert world.call("alpha-admin", address, {"enabled": False, "version": 1}, "patch").status_code == 409
        assert world.call("alpha-admin", address, {"enabled": False}, "patch").json()["display_name"] == "The search"
        event = AuditEvent.objects.filter(object_type="project").latest("id")
        assert (event.actor, event.actor_kind, event.changes) == ("alpha-admin", "token", {"enabled": [True, False]})

    @pytest.mark.parametrize(
        ("who", "status"),
        [("alpha-member", 403), ("alpha-viewer", 403), ("auditor", 403), ("beta-owner", 400), ("admin", 201)],
    )
    def test_who_makes_one(self, who: str, status: int, world: World) -> None:
        assert world.call(who, PROJECTS, {"team": "alpha", "name": "search"}).status_code == status

    @pytest.mark.parametrize("name", ["default", "Not good", ""])
    def test_bad_names_are_refused_by_field(self, name: str, world: World) -> None:
        refused = world.call("alpha-admin", PROJECTS, {"team": "alpha", "name": name})
        assert (refused.status_code, list(refused.json())) == (400, ["name"])

    def test_keys_in_use_are_counted(self, world: World) -> None:
        entry = world.call("alpha-viewer", f"{PROJECTS}{world.projects['alpha'].pk}/").json()
        assert entry["keys"] == 1


class TestEvents:
    def test_where_somebody_came_from_is_for_admins(self, world: World) -> None:
        world.call("adam", PROJECTS, {"team": "alpha", "name": "search"})
        for who, sees in (("alpha-admin", True), ("auditor", True), ("alpha-viewer", False), ("alpha-member", False)):
            (event,) = world.call(who, EVENTS, actor="adam@example.org").json()["results"]
            assert bool(event["source"]) == sees, who

    def test_filters_narrow_and_ids_go_on(self, world: World) -> None:
        ids = [entry["id"] for entry in world.call("alpha-viewer", EVENTS).json()["results"]]
        assert ids == sorted(ids, reverse=True)
        older = world.call("alpha-viewer", EVENTS, before_id=ids[1]).json()["results"]
        assert [entry["id"] for entry in older] == ids[2:]
        kinds = world.call("alpha-viewer", EVENTS, object_type="project", action="created").json()["results"]
        assert [entry["object_name"] for entry in kinds] == ["alpha/default"]

    def test_as_csv_they_are_one_table(self, world: World) -> None:
        answer = world.call("alpha-viewer", EVENTS, format="csv", object_type="membership")
        rows = list(csv.DictReader(io.StringIO(answer.getvalue().decode())))
        assert {row["team"] for row in rows} == {"alpha"}
        assert json.loads(rows[-1]["changes"])["role"] == [None, "owner"]

    def test_nobody_writes(self, world: World) -> None:
        assert world.call("admin", EVENTS, {"actor": "x"}).status_code == 405
