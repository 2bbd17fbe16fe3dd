"""Members, invitations, projects and the team's settings as pages: who sees what, who may do what, what they say."""

import re
import secrets
from collections.abc import Callable
from typing import Any

import pytest
from django.core import mail
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from accounting.audit.changes import Actor, changing
from accounting.models import AuditEvent, Invitation, Membership, Project, Team, User, VirtualKey
from accounting.services import create_key, create_user
from tests.pages.conftest import PASSWORD, World, signed_in
from tests.pages.page_form import fields_of

WHO = ("stranger", "viewer", "member", "admin", "owner", "auditor", "administrator")
ANYBODY = {"email": "", "role": "member", "days": "7"}
MEMBERS, INVITE = "/teams/platform/members/", "/teams/platform/members/invite/"


class Crew:
    """One of every standing towards the team, each with a browser."""

    def __init__(self, world: World) -> None:
        self.world, self.team = world, world.team
        self.users = {"administrator": world.admin, "auditor": world.auditor}
        with changing(Actor("tests", "system")) as change:
            change.delete(world.membership)
            for name in ("viewer", "member", "admin", "owner"):
                user = create_user(change, f"{name}@example.org", PASSWORD)
                change.save(Membership(team=self.team, user=user, role=name))
                self.users[name] = user
            self.users["stranger"] = create_user(change, "eve@example.org", PASSWORD)
            beta = Team(name="beta")
            change.save(beta)
            change.save(Membership(team=beta, user=self.users["stranger"], role="owner"))
            create_key(change, world.project, "laptop", kind="personal", owner=self.users["member"])

    def browser(self, who: str) -> Client:
        return signed_in(self.users[who])

    def member(self, who: str) -> Membership:
        return Membership.objects.get(user=self.users[who], team=self.team)

    def invite(self, who: str = "admin", **values: Any) -> str:
        """The link, as the page shows it once."""
        browser = self.browser(who)
        answer = browser.post(INVITE, {"form_id": secrets.token_hex(8), **ANYBODY, **values})
        assert answer.status_code == 302, answer.content.decode()
        found = re.search(r'id="invitation-link">([^<]+)<', browser.get(MEMBERS).content.decode())
        assert found
        assert "invitation-link" not in browser.get(MEMBERS).content.decode(), "once"
        return found[1].removeprefix("http://testserver")


@pytest.fixture
def crew(world: World) -> Crew:
    return Crew(world)


def _statuses(crew: Crew, ask: Callable[[Client], Any]) -> dict[str, int]:
    return {who: int(ask(crew.browser(who)).status_code) for who in WHO}


@pytest.mark.parametrize("address", [MEMBERS, "/teams/platform/projects/", "/teams/platform/settings/",
                                     "/teams/platform/projects/default/", "/teams/platform/activity/"])  # fmt: skip
def test_everybody_of_the_team_reads_and_no_stranger(address: str, crew: Crew) -> None:
    found = _statuses(crew, lambda browser: browser.get(address))
    assert found == {**dict.fromkeys(WHO, 200), "stranger": 404}
    assert Client().get(address).status_code == 302


@pytest.mark.parametrize(
    ("address", "data", "least"),
    [
        (INVITE, {"email": "", "role": "viewer", "days": "1", "form_id": "f"}, "admin"),
        ("/teams/platform/new-project/", {"name": "fresh"}, "admin"),
        ("/teams/platform/projects/default/", {"display_name": "The default", "version": "1"}, "admin"),
        ("/teams/platform/settings/", {"display_name": "P", "timezone": "UTC", "version": "1"}, "owner"),
    ],
)
def test_who_may_write(address: str, data: dict[str, str], least: str, crew: Crew) -> None:
    roles = ["viewer", "member", "admin", "owner"]
    may = {*roles[roles.index(least) :], "administrator"}
    for who in WHO:
        answer = crew.browser(who).post(address, data)
        expected = {404} if who == "stranger" else {200, 302} if who in may else {403}
        assert answer.status_code in expected, who


def test_who_manages_members_by_page(crew: Crew) -> None:
    viewer = crew.member("viewer")
    address = f"{MEMBERS}{viewer.pk}/"
    data = {"role": "member", "version": "1"}
    found = {who: crew.browser(who).post(address, data).status_code for who in ("stranger", "member", "auditor")}
    assert found == {"stranger": 404, "member": 403, "auditor": 403}
    assert crew.browser("admin").post(address, data).status_code == 302
    viewer.refresh_from_db()
    assert viewer.role == "member"
    too_high = crew.browser("admin").post(address, {"role": "owner", "version": "2"})
    assert too_high.status_code == 200, "the form does not offer it"
    assert crew.browser("admin").post(f"{MEMBERS}{crew.member('owner').pk}/", data).status_code == 403


def test_a_member_of_another_team_is_not_found_by_number(crew: Crew) -> None:
    elsewhere = Membership.objects.get(user=crew.users["stranger"])
    owner = crew.browser("owner")
    assert owner.get(f"{MEMBERS}{elsewhere.pk}/").status_code == 404
    assert owner.post(f"{MEMBERS}{elsewhere.pk}/remove/").status_code == 404
    assert owner.post(f"{MEMBERS}{elsewhere.pk}/hand-over/").status_code == 404


def test_a_stale_form_is_refused_and_keeps_what_was_chosen(crew: Crew) -> None:
    address = f"{MEMBERS}{crew.member('viewer').pk}/"
    crew.browser("owner").post(address, {"role": "admin", "version": "1"})
    page = crew.browser("owner").post(address, {"role": "member", "version": "1"}).content.decode()
    assert "Somebody else has changed this member" in page
    assert re.search(r'value="member"[^>]*checked', page)
    assert crew.member("viewer").role == "admin"


def test_removal_says_before_which_keys_end_and_ends_them(crew: Crew) -> None:
    member = crew.member("member")
    browser = crew.browser("admin")
    page = browser.get(f"{MEMBERS}{member.pk}/").content.decode()
    assert "1 personal key in this team is revoked" in page
    assert "laptop" in page
    assert b"1 key was revoked" in browser.post(f"{MEMBERS}{member.pk}/remove/", follow=True).content
    assert VirtualKey.objects.get(name="laptop").revoked_at is not None
    again = browser.post(f"{MEMBERS}{member.pk}/remove/")
    assert again.status_code == 404, "a second press does no harm"


def test_the_last_owner_is_told_why_they_cannot_leave(crew: Crew) -> None:
    owner, browser = crew.member("owner"), crew.browser("owner")
    assert b"You are the only owner" in browser.get(f"{MEMBERS}{owner.pk}/").content
    assert b"only owner" in browser.post(f"{MEMBERS}{owner.pk}/remove/").content
    assert crew.member("owner").role == "owner"


def test_an_owner_hands_over_and_leaves(crew: Crew) -> None:
    browser = crew.browser("owner")
    assert browser.post(f"{MEMBERS}{crew.member('member').pk}/hand-over/").status_code == 302
    assert (crew.member("member").role, crew.member("owner").role) == ("owner", "admin")
    assert browser.post(f"{MEMBERS}{crew.member('owner').pk}/remove/").headers["location"] == "/"
    assert browser.get(MEMBERS).status_code == 404


def test_the_list_narrows_and_shows_what_people_have(crew: Crew) -> None:
    page = crew.browser("viewer").get(MEMBERS, {"q": "MEMBER@"}).content.decode()
    assert "member@example.org" in page
    assert "admin@example.org" not in page
    assert "Open invitations" not in page, "those are for admins"
    assert "Nobody like that" in crew.browser("viewer").get(MEMBERS, {"role": "admin", "q": "zz"}).content.decode()


@pytest.mark.parametrize("address", [MEMBERS, "/teams/platform/projects/", "/teams/platform/projects/default/"])
def test_pages_ask_few_questions(
    address: str, crew: Crew, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    browser = crew.browser("owner")
    with django_assert_max_num_queries(14):
        browser.get(address)


class TestInvitations:
    def test_a_new_person_makes_an_account_and_is_in_the_team(self, crew: Crew) -> None:
        link = crew.invite(role="viewer")
        guest = Client()
        assert b"Or make an account" in guest.get(link).content
        answers = {"email": "New@Example.org", "password": PASSWORD, "again": PASSWORD}
        assert guest.post(link, answers).headers["location"] == "/teams/platform/"
        assert guest.get("/teams/platform/").status_code == 200
        member = Membership.objects.get(user__email="new@example.org")
        assert member.role == "viewer"
        made, accepted = AuditEvent.objects.filter(object_type="invitation").order_by("id")
        assert (made.actor, accepted.actor, accepted.action) == ("admin@example.org", "new@example.org", "accepted")

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"password": "short", "again": "short"}, "too short"),
            ({"again": "another one 77"}, "not the same"),
            ({"email": "nothing"}, "valid email"),
            ({"email": "viewer@example.org"}, "There is an account with this address"),
        ],
    )
    def test_bad_answers_say_why_and_leave_it_open(self, changes: dict[str, str], words: str, crew: Crew) -> None:
        link = crew.invite()
        people = User.objects.count()
        answers = {"email": "n@example.org", "password": PASSWORD, "again": PASSWORD, **changes}
        page = Client().post(link, answers)
        assert (page.status_code, words in page.content.decode()) == (200, True)
        assert User.objects.count() == people
        assert Client().get(link).status_code == 200

    def test_somebody_with_an_account_signs_in_and_comes_back(self, crew: Crew) -> None:
        link = crew.invite(email="eve@example.org")
        guest = Client()
        page = guest.get(link).content.decode()
        assert "Sign in, then accept" in page
        address = re.search(r'href="(/accounts/login/\?next=[^"]+)"', page)
        assert address
        form = {"email": "eve@example.org", "password": PASSWORD, "next": link}
        assert guest.post("/accounts/login/", form).headers["location"] == link
        assert b"Join the team" in guest.get(link).content
        assert guest.post(link).headers["location"] == "/teams/platform/"
        assert Membership.objects.filter(user__email="eve@example.org", team=crew.team).exists()
        assert Client().get(link).status_code == 410

    def test_one_for_an_address_is_closed_to_others(self, crew: Crew) -> None:
        link = crew.invite(email="new@example.org")
        other = crew.browser("stranger")
        assert other.get(link).status_code == 403
        assert other.post(link).status_code == 403
        assert not Membership.objects.filter(user=crew.users["stranger"], team=crew.team).exists()
        typed = {"email": "evil@example.org", "password": PASSWORD, "again": PASSWORD}
        Client().post(link, typed)
        assert not User.objects.filter(email="evil@example.org").exists(), "the address is the invitation's"
        assert Membership.objects.get(user__email="new@example.org").team == crew.team

    def test_opening_a_link_uses_nothing_up(self, crew: Crew) -> None:
        link = crew.invite()
        for _ in range(3):
            crew.browser("stranger").get(link)
            Client().get(link)
        assert crew.browser("stranger").post(link).status_code == 302

    def test_used_expired_withdrawn_and_unknown_links_are_explained(self, crew: Crew) -> None:
        used, expired, withdrawn = crew.invite(), crew.invite(), crew.invite()
        crew.browser("stranger").post(used)
        rows = list(Invitation.objects.order_by("id"))
        Invitation.objects.filter(pk=rows[1].pk).update(expires_at=timezone.now())
        crew.browser("owner").post(f"/teams/platform/invitations/{rows[2].pk}/withdraw/")
        for link, status, words in (
            (used, 410, "accepted already"),
            (expired, 410, "has expired"),
            (withdrawn, 410, "was withdrawn"),
            ("/invitations/nothing-like-it/", 404, "no such invitation"),
        ):
            for method in ("get", "post"):
                answer = getattr(Client(), method)(link)
                assert (answer.status_code, words in answer.content.decode()) == (status, True), (link, method)

    def test_a_disabled_team_lets_nobody_in(self, crew: Crew) -> None:
        link = crew.invite()
        Team.objects.filter(pk=crew.team.pk).update(enabled=False)
        assert Client().get(link).status_code == 410

    def test_who_belongs_to_the_team_is_told_so(self, crew: Crew) -> None:
        link = crew.invite()
        page = crew.browser("member").post(link)
        assert b"You belong to this team" in page.content
        assert crew.browser("stranger").post(link).status_code == 302, "it was not used up"

    def test_only_those_who_may_give_the_role_withdraw(self, crew: Crew) -> None:
        crew.invite("owner", role="owner")
        address = f"/teams/platform/invitations/{Invitation.objects.get().pk}/withdraw/"
        found = {who: crew.browser(who).post(address).status_code for who in ("stranger", "viewer", "member", "admin")}
        assert found == {"stranger": 404, "viewer": 403, "member": 403, "admin": 403}
        assert crew.browser("owner").post(address).status_code == 302
        elsewhere = address.replace("platform", "beta")
        assert crew.browser("stranger").post(elsewhere).status_code == 404, "another team's invitation"

    def test_a_form_that_is_sent_twice_invites_once(self, crew: Crew) -> None:
        browser = crew.browser("admin")
        page = browser.get(INVITE).content.decode()
        form_id = re.search(r'name="form_id" value="([^"]+)"', page)
        assert form_id
        for _ in range(2):
            assert browser.post(INVITE, {**ANYBODY, "form_id": form_id[1]}).status_code == 302
        assert Invitation.objects.count() == 1
        assert "invitation-link" in browser.get(MEMBERS).content.decode(), "the link of the first is still shown"

    def test_an_admin_is_not_offered_higher_roles(self, crew: Crew) -> None:
        page = crew.browser("admin").get(INVITE).content.decode()
        assert 'value="member"' in page
        assert 'value="owner"' not in page
        refused = crew.browser("admin").post(INVITE, {"email": "", "role": "owner", "days": "7", "form_id": "f"})
        assert refused.status_code == 200
        assert not Invitation.objects.exists()

    def test_refused_terms_keep_what_was_typed(self, crew: Crew) -> None:
        page = crew.browser("admin").post(
            INVITE, {"email": "viewer@example.org", "role": "member", "days": "30", "form_id": "f"}
        )
        assert b"belongs to the team already" in page.content
        assert b'value="viewer@example.org"' in page.content

    def test_without_mail_only_links_are_offered_and_that_is_said(self, crew: Crew, settings: Settings) -> None:
        settings.GATEWAY_MAIL = False
        page = crew.browser("admin").get(INVITE).content.decode()
        assert "No mail is configured" in page
        assert 'name="mailed"' not in page


class TestMail:
    @pytest.fixture(autouse=True)
    def _mail(self, settings: Settings) -> None:
        settings.GATEWAY_MAIL = True

    def test_the_link_goes_to_the_address_and_is_shown_to_nobody(self, crew: Crew) -> None:
        browser = crew.browser("admin")
        form = {"email": "new@example.org", "role": "member", "days": "7", "mailed": "mail", "form_id": "f"}
        browser.post(INVITE, form)
        page = browser.get(MEMBERS).content.decode()
        assert "on its way to new@example.org" in page
        assert "/invitations/" not in page.replace("/teams/platform/invitations/", "")
        (message,) = mail.outbox
        assert message.to == ["new@example.org"]
        link = re.search(r"http://testserver(/invitations/\S+)", str(message.body))
        assert link
        assert Client().get(link[1]).status_code == 200
        assert "Platform" in message.subject or "platform" in message.subject

    def test_mail_that_cannot_be_sent_invites_nobody(self, crew: Crew, settings: Settings) -> None:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9
        form = {"email": "new@example.org", "role": "member", "days": "7", "mailed": "mail", "form_id": "f"}
        page = crew.browser("admin").post(INVITE, form)
        assert b"could not be sent" in page.content
        assert Invitation.objects.get().state(timezone.now()) == "withdrawn"

    def test_somebody_without_a_password_sets_one_by_the_mailed_link(self, crew: Crew) -> None:
        with changing(Actor("tests", "system")) as change:
            create_user(change, "quiet@example.org")
        form = {"email": "quiet@example.org", "role": "member", "days": "7", "mailed": "mail", "form_id": "f"}
        crew.browser("admin").post(INVITE, form)
        link = re.search(r"http://testserver(/invitations/\S+)", str(mail.outbox[0].body))
        assert link
        answers = {"password": PASSWORD, "again": PASSWORD}
        assert Client().post(link[1], answers).headers["location"] == "/teams/platform/"

    def test_a_team_whose_name_has_lines_does_not_break_the_mails_head(self, crew: Crew) -> None:
        Team.objects.filter(pk=crew.team.pk).update(display_name="A\nBcc: all@example.org")
        form = {"email": "new@example.org", "role": "member", "days": "7", "mailed": "mail", "form_id": "f"}
        assert crew.browser("admin").post(INVITE, form).status_code == 302
        assert mail.outbox[0].recipients() == ["new@example.org"]
        assert "\n" not in mail.outbox[0].subject


class TestProjects:
    def test_a_project_is_made_named_disabled_and_enabled(self, crew: Crew) -> None:
        browser = crew.browser("admin")
        made = browser.post("/teams/platform/new-project/", {"name": "search", "display_name": "The search"})
        address = made.headers["location"]
        assert address == "/teams/platform/projects/search/"
        assert b"The search" in browser.get("/teams/platform/projects/").content
        browser.post(address, {"display_name": "Search", "version": "1"})
        browser.post(address, {"display_name": "not taken", "version": "2", "action": "disable"})
        project = Project.objects.get(name="search")
        assert (project.display_name, project.enabled) == ("Search", False)
        browser.post(address, {"display_name": "", "version": "3", "action": "enable"})
        assert Project.objects.get(name="search").enabled

    @pytest.mark.parametrize(
        ("name", "words"), [("default", "of this name already"), ("Not good", "lower-case letters")]
    )
    def test_bad_names_are_refused_beside_the_field(self, name: str, words: str, crew: Crew) -> None:
        page = crew.browser("admin").post("/teams/platform/new-project/", {"name": name, "display_name": "Kept"})
        assert words in page.content.decode()
        assert b'value="Kept"' in page.content
        assert Project.objects.count() == 1

    def test_two_people_who_edit_one_project_do_not_overwrite_each_other(self, crew: Crew) -> None:
        address = "/teams/platform/projects/default/"
        crew.browser("owner").post(address, {"display_name": "One", "version": "1"})
        page = crew.browser("admin").post(address, {"display_name": "Two", "version": "1"})
        assert b"Somebody else has changed this project" in page.content
        assert Project.objects.get().display_name == "One"

    def test_a_project_of_another_team_is_not_there(self, crew: Crew) -> None:
        assert crew.browser("stranger").get("/teams/beta/projects/default/").status_code == 404


def test_owners_change_name_and_zone_and_see_what_others_decide(crew: Crew) -> None:
    browser = crew.browser("owner")
    form = {"display_name": "The platform", "timezone": "Asia/Tokyo", "version": "1", "capture": "full"}
    browser.post("/teams/platform/settings/", form)
    team = Team.objects.get(name="platform")
    assert (team.display_name, team.timezone, team.capture) == ("The platform", "Asia/Tokyo", "metadata")
    assert b"metadata only" in browser.get("/teams/platform/settings/").content
    wrong = browser.post("/teams/platform/settings/", {**form, "timezone": "Mars/Olympus", "version": "2"})
    assert wrong.status_code == 200
    assert Team.objects.get(name="platform").timezone == "Asia/Tokyo"


def test_keys_end_too_when_the_console_ends_a_membership(crew: Crew) -> None:
    console = signed_in(crew.world.admin)
    console.post(reverse("admin:accounting_membership_delete", args=[crew.member("member").pk]), {"post": "yes"})
    assert not Membership.objects.filter(user=crew.users["member"]).exists()
    assert VirtualKey.objects.get(name="laptop").revoked_at is not None


def test_keys_end_too_when_a_teams_form_ends_a_membership(crew: Crew) -> None:
    console = signed_in(crew.world.admin)
    address = reverse("admin:accounting_team_change", args=[crew.team.pk]) + "?tab=members"
    form = fields_of(console.get(address).content, "team_form")
    place = next(
        name.rsplit("-", 1)[0]
        for name, value in form.items()
        if name.startswith("memberships-") and name.endswith("-user") and value == str(crew.users["member"].pk)
    )
    assert console.post(address, {**form, f"{place}-DELETE": "on"}).status_code == 302
    assert not Membership.objects.filter(user=crew.users["member"]).exists()
    assert VirtualKey.objects.get(name="laptop").revoked_at is not None
    assert VirtualKey.objects.get(name="ci").revoked_at is None
