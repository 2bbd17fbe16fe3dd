"""Changes made in the console: one door, one audit event, nobody's work overwritten."""

from decimal import Decimal
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounting.audit.changes import Actor, changing
from accounting.models import AuditEvent, Membership, Project, Revision, Team, User
from routing.models import ModelAlias, Provider, Route
from tests.pages.conftest import PASSWORD, World, signed_in
from tests.pages.page_form import fields_of

MEMBERS = "?tab=members"


def change_page(model: str, pk: int) -> str:
    return reverse(f"admin:{model}_change", args=[pk])


def opened(client: Client, model: str, pk: int, tab: str = "") -> dict[str, Any]:
    return fields_of(client.get(f"{change_page(model, pk)}{tab}").content, f"{model.split('_')[1]}_form")


@pytest.mark.parametrize(
    ("model", "row", "change"),
    [
        ("routing_provider", "provider", {"max_connections": "99"}),
        ("routing_route", "route", {"cooldown": "77"}),
        ("routing_modelalias", "alias", {"display_name": "Sonnet"}),
        ("accounting_team", "team", {"display_name": "Platform"}),
        ("accounting_project", "project", {"display_name": "Default"}),
        ("accounting_membership", "membership", {"role": "owner"}),
        ("accounting_user", "stranger", {"first_name": "Sam"}),
        ("accounting_virtualkey", "key", {"tags": "cost_center: 4711"}),
        ("accounting_apitoken", "token", {"name": "prometheus"}),
        ("accounting_budget", "budget", {"amount": "0.000000000001"}),
        ("accounting_ratelimit", "rate", {"amount": "61"}),
    ],
)
def test_every_form_writes_one_audit_event_with_the_change_alone(
    model: str, row: str, change: dict[str, str], world: World, console: Client
) -> None:
    pk = getattr(world, row).pk
    AuditEvent.objects.all().delete()
    response = console.post(change_page(model, pk), {**opened(console, model, pk), **change})
    assert response.status_code == 302
    event = AuditEvent.objects.get()
    assert (event.actor, event.actor_kind, event.source) == ("ada@example.org", "user", "127.0.0.1")
    assert (event.action, list(event.changes)) == ("changed", list(change))


def test_saving_without_a_change_writes_nothing(world: World, console: Client) -> None:
    before = AuditEvent.objects.count(), Revision.objects.get(name="routing").number
    for model, row in (("routing_route", world.route), ("routing_provider", world.provider)):
        assert console.post(change_page(model, row.pk), opened(console, model, row.pk)).status_code == 302
    assert (AuditEvent.objects.count(), Revision.objects.get(name="routing").number) == before


def test_stale_form_is_shown_again_and_overwrites_nothing(world: World, console: Client) -> None:
    mine = opened(console, "routing_route", world.route.pk)
    with changing(Actor("bob@example.org", "user")) as change:
        theirs = Route.objects.get(pk=world.route.pk)
        theirs.cooldown = 99
        change.save(theirs)
    response = console.post(change_page("routing_route", world.route.pk), {**mine, "max_attempts": "7"})
    page = response.content.decode()
    assert response.status_code == 200
    assert "bob@example.org changed cooldown while you were editing" in page
    stored = Route.objects.get(pk=world.route.pk)
    assert (stored.cooldown, stored.max_attempts) == (99, 3)

    again = fields_of(response.content, "route_form")
    assert (again["cooldown"], again["max_attempts"]) == ("99", "7")
    assert console.post(change_page("routing_route", world.route.pk), again).status_code == 302
    stored.refresh_from_db()
    assert (stored.cooldown, stored.max_attempts) == (99, 7), "both changes stand"


def test_form_without_its_version_is_refused(world: World, console: Client) -> None:
    mine = {**opened(console, "accounting_team", world.team.pk), "display_name": "X", "version_seen": ""}
    assert console.post(change_page("accounting_team", world.team.pk), mine).status_code == 200
    assert Team.objects.get().display_name == ""


def test_stale_row_inside_a_form_is_refused(world: World, console: Client) -> None:
    mine = opened(console, "routing_route", world.route.pk)
    with changing(Actor("bob@example.org", "user")) as change:
        target = world.route.targets.get()
        target.weight = 50
        change.save(target)
    response = console.post(change_page("routing_route", world.route.pk), {**mine, "targets-0-weight": "9"})
    assert response.status_code == 200
    assert "bob@example.org changed weight" in response.content.decode()
    assert world.route.targets.get().weight == 50


def test_row_that_someone_else_changed_is_not_removed(world: World, console: Client) -> None:
    mine = opened(console, "accounting_team", world.team.pk, MEMBERS)
    with changing(Actor("bob@example.org", "user")) as change:
        world.membership.role = "admin"
        change.save(world.membership)
    members = f"{change_page('accounting_team', world.team.pk)}{MEMBERS}"
    response = console.post(members, {**mine, "memberships-0-DELETE": "on"})
    assert "bob@example.org changed role" in response.content.decode()
    assert Membership.objects.exists()


def test_a_target_added_by_someone_else_stays(world: World, console: Client) -> None:
    mine = opened(console, "routing_route", world.route.pk)
    with changing(Actor("bob@example.org", "user")) as change:
        target = world.route.targets.get()
        target.pk, target._state.adding, target.model, target.tier = None, True, "other", 1
        change.save(target)
    assert console.post(change_page("routing_route", world.route.pk), {**mine, "cooldown": "8"}).status_code == 302
    assert {target.model for target in world.route.targets.all()} == {"claude-sonnet-4-5", "other"}


def test_targets_are_added_changed_and_removed_in_one_form(world: World, console: Client) -> None:
    mine = opened(console, "routing_route", world.route.pk)
    added = {
        "targets-TOTAL_FORMS": "2", "targets-1-provider": str(world.provider.pk), "targets-1-model": "second",
        "targets-1-tier": "1", "targets-1-weight": "1", "targets-1-enabled": "on", "targets-1-route": world.route.pk,
    }  # fmt: skip
    assert console.post(change_page("routing_route", world.route.pk), {**mine, **added}).status_code == 302
    assert [target.model for target in world.route.targets.order_by("tier")] == ["claude-sonnet-4-5", "second"]
    mine = opened(console, "routing_route", world.route.pk)
    console.post(change_page("routing_route", world.route.pk), {**mine, "targets-0-DELETE": "on"})
    assert [target.model for target in world.route.targets.all()] == ["second"]
    assert AuditEvent.objects.filter(object_type="routetarget", action="deleted").count() == 1


def test_a_targets_limit_is_kept_by_a_form_that_does_not_ask_for_it_and_lifted_by_an_empty_one(
    world: World, console: Client
) -> None:
    mine = opened(console, "routing_route", world.route.pk)
    console.post(change_page("routing_route", world.route.pk), {**mine, "targets-0-max_concurrent": "7"})
    assert world.route.targets.get().max_concurrent == 7
    mine = opened(console, "routing_route", world.route.pk)
    del mine["targets-0-max_concurrent"]
    console.post(change_page("routing_route", world.route.pk), {**mine, "deadline": "45.5"})
    assert (Route.objects.get().deadline, world.route.targets.get().max_concurrent) == (Decimal("45.5"), 7)
    mine = opened(console, "routing_route", world.route.pk)
    console.post(change_page("routing_route", world.route.pk), {**mine, "targets-0-max_concurrent": ""})
    assert world.route.targets.get().max_concurrent == 0


def test_route_whose_targets_could_serve_nothing_is_refused_in_words(world: World, console: Client) -> None:
    mine = opened(console, "routing_route", world.route.pk)
    response = console.post(change_page("routing_route", world.route.pk), {**mine, "targets-0-weight": "0"})
    assert "Every enabled target has the weight zero" in response.content.decode()
    assert world.route.targets.get().weight == 3


def test_new_route_with_its_target(world: World, console: Client) -> None:
    page = console.get(reverse("admin:routing_route_add"))
    mine = fields_of(page.content, "route_form")
    assert len(mine["retry_on"]) == 8
    mine |= {"name": "haiku", "targets-0-provider": world.provider.pk, "targets-0-model": "claude-haiku-4-5"}
    assert console.post(reverse("admin:routing_route_add"), mine).status_code == 302
    route = Route.objects.get(name="haiku")
    assert 429 in route.retry_on
    assert "timeout" in route.retry_on
    assert route.targets.get().model == "claude-haiku-4-5"


def test_retry_on_keeps_statuses_that_have_no_checkbox_of_their_own(world: World, console: Client) -> None:
    Route.objects.update(retry_on=["connect", 408])
    mine = opened(console, "routing_route", world.route.pk)
    console.post(change_page("routing_route", world.route.pk), {**mine, "cooldown": "31"})
    assert Route.objects.get().retry_on == ["connect", 408]


def test_team_form_edits_lists_as_lines_and_people_inline(world: World, console: Client) -> None:
    address = change_page("accounting_team", world.team.pk)
    mine = opened(console, "accounting_team", world.team.pk)
    mine |= {"allowed_models": "claude-sonnet-*\n\n  claude-haiku-4-5 "}
    assert console.post(address, mine).status_code == 302
    people = opened(console, "accounting_team", world.team.pk, MEMBERS)
    people |= {
        "memberships-TOTAL_FORMS": "2", "memberships-1-user": world.admin.pk, "memberships-1-role": "owner",
        "memberships-1-team": world.team.pk,
    }  # fmt: skip
    assert console.post(f"{address}{MEMBERS}", people).status_code == 302
    assert Team.objects.get().allowed_models == ["claude-sonnet-*", "claude-haiku-4-5"]
    assert Membership.objects.get(user=world.admin).role == "owner"


def test_bad_lines_are_refused_with_the_line(world: World, console: Client) -> None:
    mine = opened(console, "accounting_virtualkey", world.key.pk)
    for change, words in (
        ({"tags": "no colon here"}, "no colon here"),
        ({"allowed_ips": "10.0.0.0/99"}, "10.0.0.0/99"),
        ({"expires_at": "soon"}, "valid date"),
    ):
        response = console.post(change_page("accounting_virtualkey", world.key.pk), {**mine, **change})
        assert words in response.content.decode()


def test_deleting_what_is_in_use_is_refused_in_words(world: World, console: Client) -> None:
    for model, row in (("routing_provider", world.provider), ("routing_route", world.route)):
        response = console.post(reverse(f"admin:{model}_delete", args=[row.pk]), {"post": "yes"}, follow=True)
        assert response.status_code == 200
    assert Provider.objects.exists()
    assert Route.objects.exists()


def test_deletion_is_audited(world: World, console: Client) -> None:
    address = reverse("admin:routing_modelalias_delete", args=[world.alias.pk])
    assert console.post(address, {"post": "yes"}).status_code == 302
    assert not ModelAlias.objects.exists()
    assert AuditEvent.objects.filter(object_type="modelalias", action="deleted", actor="ada@example.org").exists()


def test_bulk_deletion_is_not_offered(world: World, console: Client) -> None:
    chosen = {"action": "delete_selected", "_selected_action": [world.project.pk], "post": "yes"}
    console.post(reverse("admin:accounting_project_changelist"), chosen)
    assert Project.objects.exists()


class TestUsers:
    @pytest.mark.parametrize(("role", "email"), [("administrator", "ada@"), ("auditor", "audrey@"), ("none", "sam@")])
    def test_people_are_found_by_their_role(self, role: str, email: str, world: World, console: Client) -> None:
        page = console.get(f"{reverse('admin:accounting_user_changelist')}?console={role}").content.decode()
        table = page.split('id="result_list"')[1]
        assert [each for each in ("ada@", "audrey@", "sam@") if each in table] == [email]

    def test_role_is_given_and_taken(self, world: World, console: Client) -> None:
        pk = world.stranger.pk
        console.post(change_page("accounting_user", pk), {**opened(console, "accounting_user", pk), "role": "auditor"})
        assert signed_in(User.objects.get(pk=pk)).get("/admin/").status_code == 200
        assert AuditEvent.objects.filter(action="role changed", changes={"role": ["none", "auditor"]}).exists()
        console.post(change_page("accounting_user", pk), {**opened(console, "accounting_user", pk), "role": "none"})
        assert signed_in(User.objects.get(pk=pk)).get("/admin/", follow=True).status_code == 403

    def test_the_last_administrator_stays(self, world: World, console: Client) -> None:
        pk = world.admin.pk
        mine = opened(console, "accounting_user", pk)
        page = console.post(change_page("accounting_user", pk), {**mine, "role": "none"})
        assert "only administrator left" in page.content.decode()
        assert console.post(reverse("admin:accounting_user_delete", args=[pk]), {"post": "yes"}).status_code == 403
        assert User.objects.get(pk=pk).is_superuser

    def test_new_person_with_and_without_password(self, world: World, console: Client) -> None:
        for email, password in (("new@example.org", PASSWORD), ("silent@example.org", "")):
            values = {"email": email, "is_active": "on", "role": "none", "first_password": password}
            assert console.post(reverse("admin:accounting_user_add"), values).status_code == 302
        assert User.objects.get(email="new@example.org").check_password(PASSWORD)
        assert not User.objects.get(email="silent@example.org").has_usable_password()
        assert PASSWORD not in str(list(AuditEvent.objects.values_list("changes", flat=True)))

    def test_setting_somebodys_password_is_audited(self, world: World, console: Client) -> None:
        fresh = {"new_password1": "another fine phrase 1", "new_password2": "another fine phrase 1"}
        address = reverse("admin:accounting_user_password", args=[world.stranger.pk])
        assert console.post(address, {**fresh, "new_password2": "x"}).status_code == 200
        assert console.post(address, fresh).status_code == 302
        assert User.objects.get(pk=world.stranger.pk).check_password("another fine phrase 1")
        assert AuditEvent.objects.filter(action="password changed", actor="ada@example.org").exists()
