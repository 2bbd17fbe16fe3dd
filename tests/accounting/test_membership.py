"""Who may give, take and leave which role; what goes with a member; that a team keeps an owner, whoever is faster."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.utils import timezone

from accounting.access.roles import ADMIN, MEMBER, OWNER, VIEWER
from accounting.audit.changes import Actor, StaleVersion, changing
from accounting.invitations import (
    InvitationRefused,
    Terms,
    accept,
    accept_with_new_account,
    find_invitation,
    invite,
    withdraw_invitation,
)
from accounting.limits.asking import NotAllowed, Party, party_of_user
from accounting.membership import change_role, hand_over, remove_member
from accounting.models import AuditEvent, Invitation, Membership, Project, Revision, Team, User, VirtualKey
from accounting.services import create_key, create_user

SYSTEM = Actor("tests", "system")
PASSWORD = "correct horse battery 9"


class People:
    """A team with two owners and one of every other role, and a second team."""

    def __init__(self) -> None:
        with changing(SYSTEM) as change:
            self.team, self.other = Team(name="alpha"), Team(name="beta")
            change.save(self.team)
            change.save(self.other)
            self.members: dict[str, Membership] = {}
            for name, role in (("olga", OWNER), ("otto", OWNER), ("adam", ADMIN), ("mia", MEMBER), ("vic", VIEWER)):
                user = create_user(change, f"{name}@example.org")
                self.members[name] = Membership(team=self.team, user=user, role=role)
                change.save(self.members[name])

    def party(self, name: str) -> Party:
        return party_of_user(User.objects.get(email=f"{name}@example.org"))

    def give(self, who: str, whom: str, role: str, version: int | None = None) -> Membership:
        with changing(Actor(f"{who}@example.org", "user")) as change:
            return change_role(change, self.party(who), self.members[whom], role, expected_version=version)

    def remove(self, who: str, whom: str) -> list[str]:
        with changing(Actor(f"{who}@example.org", "user")) as change:
            gone = remove_member(change, self.party(who), self.members[whom])
        return [key.name for key in gone.keys]

    def role(self, name: str) -> str:
        return Membership.objects.filter(pk=self.members[name].pk).values_list("role", flat=True).first() or ""

    def key(self, owner: str, team: Team, name: str) -> VirtualKey:
        with changing(SYSTEM) as change:
            project = Project.objects.filter(team=team).first() or Project(team=team, name="default")
            if project._state.adding:
                change.save(project)
            return create_key(change, project, name, kind="personal", owner=self.members[owner].user)[0]

    def invite(self, who: str, role: str = MEMBER, **terms: Any) -> tuple[Invitation, str]:
        with changing(Actor(f"{who}@example.org", "user")) as change:
            made, token = invite(change, self.party(who), self.team, Terms(role, **terms))
        return made, token.reveal()


@pytest.fixture
def people(db: None) -> People:
    return People()


class TestRoles:
    @pytest.mark.parametrize("who", ["mia", "vic"])
    def test_members_and_viewers_change_nobody(self, who: str, people: People) -> None:
        with pytest.raises(NotAllowed):
            people.give(who, "vic", MEMBER)
        with pytest.raises(NotAllowed):
            people.remove(who, "adam")

    @pytest.mark.parametrize(("whom", "role"), [("mia", ADMIN), ("mia", OWNER), ("otto", MEMBER), ("adam", OWNER)])
    def test_an_admin_neither_gives_nor_takes_admin_and_owner(self, whom: str, role: str, people: People) -> None:
        before = people.role(whom)
        with pytest.raises(NotAllowed, match="Only an owner"):
            people.give("adam", whom, role)
        assert people.role(whom) == before

    def test_an_admin_manages_members_and_viewers(self, people: People) -> None:
        assert people.give("adam", "vic", MEMBER).role == MEMBER
        people.remove("adam", "mia")
        assert people.role("mia") == ""
        with pytest.raises(NotAllowed):
            people.remove("adam", "olga")

    def test_an_owner_gives_every_role(self, people: People) -> None:
        for role in (OWNER, ADMIN, VIEWER, MEMBER):
            people.give("olga", "mia", role)
            assert people.role("mia") == role

    def test_somebody_of_another_team_changes_nobody(self, people: People) -> None:
        with changing(SYSTEM) as change:
            eve = create_user(change, "eve@example.org")
            change.save(Membership(team=people.other, user=eve, role=OWNER))
        with pytest.raises(NotAllowed):
            people.give("eve", "vic", MEMBER)
        with pytest.raises(NotAllowed):
            people.remove("eve", "vic")

    def test_a_role_that_was_lost_meanwhile_does_not_count_any_more(self, people: People) -> None:
        party = people.party("adam")
        people.give("olga", "adam", VIEWER)
        with changing(SYSTEM) as change, pytest.raises(NotAllowed):
            change_role(change, party, people.members["vic"], MEMBER)

    def test_two_people_who_edit_one_member_do_not_overwrite_each_other(self, people: People) -> None:
        version = people.members["vic"].version
        people.give("olga", "vic", ADMIN, version)
        with pytest.raises(StaleVersion):
            people.give("otto", "vic", MEMBER, version)

    def test_change_of_role_is_in_the_teams_log(self, people: People) -> None:
        people.give("olga", "vic", MEMBER)
        event = AuditEvent.objects.get(object_type="membership", action="changed")
        assert (event.actor, event.team, event.changes) == ("olga@example.org", "alpha", {"role": ["viewer", "member"]})


class TestTheLastOwner:
    def test_can_neither_be_lowered_nor_go(self, people: People) -> None:
        people.remove("olga", "otto")
        for refused in (
            lambda: people.give("olga", "olga", ADMIN),
            lambda: people.remove("olga", "olga"),
            lambda: self._as_administrator(people),
        ):
            with pytest.raises(ValidationError, match="only owner"):
                refused()
        assert people.role("olga") == OWNER

    def _as_administrator(self, people: People) -> None:
        with changing(SYSTEM) as change:
            remove_member(change, Party("root@example.org", admin=True), people.members["olga"])

    def test_is_whoever_may_sign_in(self, people: People) -> None:
        User.objects.filter(email="otto@example.org").update(is_active=False)
        with pytest.raises(ValidationError, match="only owner"):
            people.give("olga", "olga", MEMBER)

    def test_may_go_after_handing_over(self, people: People) -> None:
        people.remove("olga", "otto")
        with changing(SYSTEM) as change:
            hand_over(change, people.party("olga"), people.members["mia"])
        assert (people.role("mia"), people.role("olga")) == (OWNER, ADMIN)
        people.remove("olga", "olga")
        assert people.role("olga") == ""

    @pytest.mark.parametrize("who", ["adam", "mia", "vic"])
    def test_only_an_owner_hands_over(self, who: str, people: People) -> None:
        with changing(SYSTEM) as change, pytest.raises(NotAllowed):
            hand_over(change, people.party(who), people.members["vic"])

    def test_an_administrator_who_does_not_belong_hands_nothing_over(self, people: People) -> None:
        with changing(SYSTEM) as change, pytest.raises(NotAllowed):
            hand_over(change, Party("root@example.org", admin=True), people.members["mia"])

    def test_nobody_hands_over_to_who_may_not_sign_in(self, people: People) -> None:
        User.objects.filter(email="mia@example.org").update(is_active=False)
        with changing(SYSTEM) as change, pytest.raises(ValidationError):
            hand_over(change, people.party("olga"), Membership.objects.get(user__email="mia@example.org"))


class TestGoing:
    def test_ones_personal_keys_of_the_team_end_with_the_membership(self, people: People) -> None:
        key, elsewhere = people.key("mia", people.team, "laptop"), people.key("mia", people.other, "laptop")
        others = people.key("vic", people.team, "other")
        before = Revision.objects.get(name=Revision.DIRECTORY).number
        assert people.remove("adam", "mia") == ["laptop"]
        standing = {row.pk: row.revoked_at is not None for row in VirtualKey.objects.all()}
        assert standing == {key.pk: True, elsewhere.pk: False, others.pk: False}
        assert Revision.objects.get(name=Revision.DIRECTORY).number > before, "the gateway reads its keys again"

    def test_leaving_does_the_same_and_takes_no_right(self, people: People) -> None:
        people.key("vic", people.team, "old")
        assert people.remove("vic", "vic") == ["old"]

    def test_nothing_is_revoked_when_the_removal_is_refused(self, people: People) -> None:
        people.remove("olga", "otto")
        key = people.key("olga", people.team, "laptop")
        with pytest.raises(ValidationError):
            people.remove("olga", "olga")
        key.refresh_from_db()
        assert key.revoked_at is None

    def test_what_somebody_invited_to_does_not_let_them_back_in(self, people: People) -> None:
        _, token = people.invite("adam")
        kept, _ = people.invite("olga")
        people.remove("olga", "adam")
        found = find_invitation(token)
        assert found is not None
        assert found.state(timezone.now()) == "withdrawn"
        kept.refresh_from_db()
        assert kept.state(timezone.now()) == "open"

    def test_invitations_to_roles_that_one_may_not_give_any_more_are_withdrawn(self, people: People) -> None:
        high, _ = people.invite("otto", ADMIN)
        low, _ = people.invite("otto", MEMBER)
        people.give("olga", "otto", ADMIN)
        high.refresh_from_db()
        low.refresh_from_db()
        assert (high.state(timezone.now()), low.state(timezone.now())) == ("withdrawn", "open")


class TestInvitations:
    def _user(self, email: str = "new@example.org") -> User:
        with changing(SYSTEM) as change:
            return create_user(change, email)

    @pytest.mark.parametrize(
        ("who", "role", "may"),
        [
            ("olga", OWNER, True), ("olga", VIEWER, True), ("adam", MEMBER, True), ("adam", VIEWER, True),
            ("adam", ADMIN, False), ("adam", OWNER, False), ("mia", VIEWER, False), ("vic", VIEWER, False),
        ],
    )  # fmt: skip
    def test_who_invites_to_what(self, who: str, role: str, may: bool, people: People) -> None:
        if may:
            assert people.invite(who, role)[0].role == role
        else:
            with pytest.raises(NotAllowed):
                people.invite(who, role)

    def test_the_token_is_nowhere_but_in_the_link(self, people: People) -> None:
        made, token = people.invite("olga")
        row = Invitation.objects.values().get(pk=made.pk)
        assert token not in str(row)
        assert token not in str(list(AuditEvent.objects.values()))

    def test_one_person_accepts_once(self, people: People) -> None:
        made, _ = people.invite("adam", VIEWER)
        with changing(SYSTEM) as change:
            member = accept(change, made, self._user())
        assert (member.team, member.role) == (people.team, VIEWER)
        with changing(SYSTEM) as change, pytest.raises(InvitationRefused, match="accepted"):
            accept(change, made, self._user("second@example.org"))

    def test_who_belongs_to_the_team_does_not_use_it_up_and_keeps_their_role(self, people: People) -> None:
        made, _ = people.invite("adam", VIEWER)
        with changing(SYSTEM) as change:
            assert accept(change, made, people.members["olga"].user).role == OWNER
        made.refresh_from_db()
        assert made.state(timezone.now()) == "open"

    def test_one_for_an_address_is_for_no_other(self, people: People) -> None:
        made, _ = people.invite("adam", email="New@Example.org")
        with changing(SYSTEM) as change, pytest.raises(InvitationRefused, match="other_address"):
            accept(change, made, self._user("else@example.org"))
        with changing(SYSTEM) as change:
            assert accept(change, made, self._user()).user.email == "new@example.org"

    def test_expired_and_withdrawn_ones_do_not_work(self, people: People) -> None:
        old, _ = people.invite("adam")
        Invitation.objects.filter(pk=old.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
        taken, _ = people.invite("adam")
        with changing(SYSTEM) as change:
            withdraw_invitation(change, people.party("adam"), taken)
        for made, why in ((old, "expired"), (taken, "withdrawn")):
            with changing(SYSTEM) as change, pytest.raises(InvitationRefused, match=why):
                accept_with_new_account(change, made, "n@example.org", PASSWORD)
        assert not User.objects.filter(email="n@example.org").exists()

    def test_an_admin_does_not_withdraw_an_owners(self, people: People) -> None:
        made, _ = people.invite("olga", OWNER)
        with changing(SYSTEM) as change, pytest.raises(NotAllowed):
            withdraw_invitation(change, people.party("adam"), made)

    @pytest.mark.parametrize(
        ("terms", "words"),
        [
            ({"email": "no address"}, "valid email"),
            ({"email": "mia@example.org"}, "belongs to the team"),
            ({"days": 400}, "1, 7 or 30"),
            ({"mailed": True}, "Give the address"),
        ],
    )
    def test_bad_terms_are_refused_with_a_sentence(self, terms: dict[str, Any], words: str, people: People) -> None:
        with pytest.raises(ValidationError, match=words):
            people.invite("olga", **terms)

    def test_an_address_has_one_open_invitation(self, people: People) -> None:
        people.invite("adam", email="new@example.org")
        with pytest.raises(ValidationError, match="open invitation"):
            people.invite("olga", email="NEW@example.org")

    def test_a_weak_password_makes_neither_account_nor_member(self, people: People) -> None:
        made, _ = people.invite("adam")
        with pytest.raises(ValidationError), changing(SYSTEM) as change:
            accept_with_new_account(change, made, "n@example.org", "12345")
        assert not User.objects.filter(email="n@example.org").exists()
        made.refresh_from_db()
        assert made.state(timezone.now()) == "open"

    def test_an_account_that_exists_is_not_taken_by_a_link(self, people: People) -> None:
        with changing(SYSTEM) as change:
            create_user(change, "quiet@example.org")  # known for their keys, without a password
        by_link, _ = people.invite("adam", email="quiet@example.org")
        with pytest.raises(InvitationRefused, match="account"), changing(SYSTEM) as change:
            accept_with_new_account(change, by_link, "", PASSWORD)
        Invitation.objects.filter(pk=by_link.pk).update(mailed=True)
        with changing(SYSTEM) as change:
            member = accept_with_new_account(change, by_link, "", PASSWORD)
        assert member.user.check_password(PASSWORD), "a mail has proved whose the address is"


@pytest.mark.postgres
class TestAtTheSameTime:
    """On PostgreSQL, where transactions really overlap."""

    def _together(self, *works: Callable[[], object]) -> list[BaseException | None]:
        """Begins all at the same moment; what each raised."""
        start, raised = threading.Barrier(len(works)), [None] * len(works)

        def run(place: int) -> None:
            start.wait()
            try:
                works[place]()
            except (NotAllowed, ValidationError, InvitationRefused, Membership.DoesNotExist) as error:
                raised[place] = error  # type: ignore[call-overload]
            finally:
                connection.close()

        threads = [threading.Thread(target=run, args=(place,)) for place in range(len(works))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        return list(raised)

    def test_two_owners_who_lower_each_other_leave_one(self, postgres: str) -> None:
        for _ in range(5):
            Membership.objects.all().delete()
            Team.objects.all().delete()
            User.objects.all().delete()
            people = People()
            raised = self._together(
                lambda people=people: people.give("olga", "otto", MEMBER),  # type: ignore[misc]
                lambda people=people: people.give("otto", "olga", MEMBER),  # type: ignore[misc]
            )
            assert sorted([people.role("olga"), people.role("otto")]) == [MEMBER, OWNER]
            assert sum(error is not None for error in raised) == 1

    def test_two_owners_who_leave_together_leave_one(self, postgres: str) -> None:
        people = People()
        raised = self._together(lambda: people.remove("olga", "olga"), lambda: people.remove("otto", "otto"))
        assert Membership.objects.filter(team=people.team, role=OWNER).count() == 1
        assert sum(isinstance(error, ValidationError) for error in raised) == 1

    def test_two_people_with_one_link_make_one_member(self, postgres: str) -> None:
        people = People()
        made, _ = people.invite("adam")

        def join(name: str) -> Callable[[], object]:
            def work() -> None:
                with changing(SYSTEM) as change:
                    accept_with_new_account(change, made, f"{name}@example.org", PASSWORD)

            return work

        raised = self._together(join("first"), join("second"))
        assert Membership.objects.filter(user__email__in=["first@example.org", "second@example.org"]).count() == 1
        assert User.objects.filter(email__in=["first@example.org", "second@example.org"]).count() == 1
        assert sum(isinstance(error, InvitationRefused) for error in raised) == 1
