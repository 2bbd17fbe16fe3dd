"""Changes that wait for a second administrator or for their time: applied whole and once, or not at all."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from pytest_django import Settings

from accounting.audit.changes import Actor, ChangeSet, changing
from accounting.models import AuditEvent
from routing.models import ConfigPicture, ConfigProposal, Credential, ModelAlias, Provider, Route, SealedSecret
from routing.services import delete_alias, delete_route, save_alias, save_provider
from routing.versions import proposals
from routing.versions.difference import read
from routing.versions.keeping import current_number
from routing.versions.proposals import Draft, Person, Wish
from routing.versions.wording import lines
from tests.versions.conftest import ADA, CANARY, add_provider, make, newest, set_cooldown

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=2)
AUTHOR = Person(ADA, 1)
EVE = Person(Actor("eve@example.org", "user", "203.0.113.8"), 2)
State = ConfigProposal.State


class TakenBack(Exception):
    pass


def drafted(work: Callable[[ChangeSet], object]) -> Draft | None:
    """Makes a change as the console does, and takes it back."""
    found: list[Draft | None] = []
    try:
        with changing(ADA) as change:
            work(change)
            found.append(proposals.draft(change))
            raise TakenBack
    except TakenBack:
        pass
    return found[0]


def proposed(work: Callable[[ChangeSet], object], not_before: datetime | None = None) -> ConfigProposal:
    draft = drafted(work)
    assert draft is not None
    return proposals.propose(draft, AUTHOR, Wish("why not", not_before), NOW)


@pytest.fixture
def approval(settings: Settings, configured: int) -> None:
    settings.GATEWAY_CONFIG_APPROVAL = True


def test_a_proposed_change_changes_nothing(approval: None, configured: int) -> None:
    proposal = proposed(set_cooldown(77))
    assert (Route.objects.get().cooldown, current_number()) == (30, configured)
    assert (proposal.state, proposal.author, proposal.reason) == (State.OPEN, "ada@example.org", "why not")
    assert proposal.base_id == configured
    assert lines(read(proposal.changes)) == ["changed route sonnet: cooldown: 30 → 77"]
    assert AuditEvent.objects.filter(action="proposed", object_name=str(proposal)).count() == 1
    assert not AuditEvent.objects.filter(action="changed").exists()


def test_a_change_that_no_picture_shows_is_no_proposal(approval: None) -> None:
    assert drafted(lambda change: None) is None
    assert drafted(set_cooldown(30)) is None


def test_another_administrator_approves_and_it_is_applied(approval: None, configured: int) -> None:
    proposal = proposals.approve(EVE, proposed(set_cooldown(77)).pk, NOW)
    assert Route.objects.get().cooldown == 77
    assert (proposal.state, proposal.decided_by) == (State.APPLIED, "eve@example.org")
    assert proposal.version == newest().number == configured + 1
    assert (newest().actor, newest().reason) == ("ada@example.org", "why not")
    assert newest().source == f"proposal {proposal.pk}, approved by eve@example.org"


def test_nobody_approves_their_own(approval: None) -> None:
    proposal = proposed(set_cooldown(77))
    with pytest.raises(ValidationError, match="Somebody else"):
        proposals.approve(AUTHOR, proposal.pk, NOW)
    renamed = Person(Actor("ada.lovelace@example.org", "user"), AUTHOR.id)
    with pytest.raises(ValidationError, match="Somebody else"):
        proposals.approve(renamed, proposal.pk, NOW)
    proposal.refresh_from_db()
    assert (proposal.state, Route.objects.get().cooldown) == (State.OPEN, 30)


def test_changes_of_others_to_other_fields_stand(approval: None) -> None:
    proposal = proposed(set_cooldown(77))

    def others(change: ChangeSet) -> None:
        route = Route.objects.get()
        route.max_attempts = 7
        change.save(route)
        add_provider(change, "second")

    make(others)
    proposals.approve(EVE, proposal.pk, NOW)
    route = Route.objects.get()
    assert (route.cooldown, route.max_attempts, Provider.objects.count()) == (77, 7, 2)


def rename_alias(change: ChangeSet) -> object:
    alias = ModelAlias.objects.get()
    alias.display_name = "Theirs"
    return change.save(alias)


def lose_route(change: ChangeSet) -> None:
    delete_alias(change, ModelAlias.objects.get())
    delete_route(change, Route.objects.get())


@pytest.mark.parametrize(
    ("mine", "theirs", "sentence"),
    [
        (set_cooldown(77), set_cooldown(88), "Route sonnet: cooldown was changed meanwhile."),
        (set_cooldown(77), lose_route, "Route sonnet was removed or renamed meanwhile."),
        (lose_route, set_cooldown(88), "Route sonnet was changed meanwhile."),
        (
            lambda change: add_provider(change, "second"),
            lambda change: add_provider(change, "second"),
            "Provider second exists by now.",
        ),
    ],
)
def test_a_conflict_is_named_and_nothing_is_applied(
    mine: Callable[[ChangeSet], object], theirs: Callable[[ChangeSet], object], sentence: str, approval: None
) -> None:
    proposal = proposed(lambda change: (rename_alias(change) if mine is not lose_route else None, mine(change)))
    number = make(theirs)
    assert sentence in proposals.problems_of(proposal)
    with pytest.raises(ValidationError, match=sentence):
        proposals.approve(EVE, proposal.pk, NOW)
    proposal.refresh_from_db()
    assert (proposal.state, current_number()) == (State.OPEN, number)
    assert not ModelAlias.objects.filter(display_name="Theirs").exists()


def test_the_same_change_made_by_somebody_else_is_no_conflict(approval: None) -> None:
    proposal = proposed(set_cooldown(77))
    number = make(set_cooldown(77))
    assert proposals.approve(EVE, proposal.pk, NOW).state == State.APPLIED
    assert current_number() == number


def test_two_changes_that_are_wrong_together_are_refused(approval: None) -> None:
    """Each leaves the route one target of two."""
    from routing.models import RouteTarget

    def second_target(change: ChangeSet) -> None:
        target = RouteTarget(route=Route.objects.get(), provider=Provider.objects.get(), model="other")
        change.save(target)

    def disable(model: str) -> Callable[[ChangeSet], None]:
        def work(change: ChangeSet) -> None:
            target = RouteTarget.objects.get(model=model)
            target.enabled = False
            change.save(target)

        return work

    make(second_target)
    proposal = proposed(disable("other"))
    make(disable("claude-sonnet-4-5"))
    result = proposals.approve(EVE, proposal.pk, NOW)
    assert (result.state, result.problem[:13]) == (State.FAILED, "Route sonnet:")
    assert RouteTarget.objects.get(model="other").enabled


def test_a_new_provider_is_applied_with_its_credential(approval: None) -> None:
    proposal = proposed(lambda change: add_provider(change, "second", f"{CANARY}-second"))
    assert not Provider.objects.filter(name="second").exists()
    proposals.approve(EVE, proposal.pk, NOW)
    assert Credential.objects.get(provider__name="second").values == {"api_key": f"{CANARY}-second"}


def test_a_new_credential_is_applied(approval: None) -> None:
    def rotate(change: ChangeSet) -> None:
        values = {"api_key": f"{CANARY}-2"}
        save_provider(change, Provider.objects.get(), credential_kind="api_key", credential_values=values)

    proposals.approve(EVE, proposed(rotate).pk, NOW)
    assert Credential.objects.get().values == {"api_key": f"{CANARY}-2"}


@pytest.mark.parametrize("end", ["reject", "withdraw", "expire"])
def test_a_closed_proposal_is_closed_and_its_secrets_are_gone(end: str, approval: None) -> None:
    proposal = proposed(lambda change: add_provider(change, "second", f"{CANARY}-second"))
    assert SealedSecret.objects.count() == 2
    if end == "reject":
        proposals.reject(EVE, proposal.pk, "not like this", NOW)
    elif end == "withdraw":
        proposals.withdraw(AUTHOR, proposal.pk, NOW)
    else:
        proposals.run_due(NOW + timedelta(days=15))
    proposal.refresh_from_db()
    assert proposal.state == {"reject": "rejected", "withdraw": "withdrawn", "expire": "expired"}[end]
    assert (SealedSecret.objects.count(), ConfigPicture.objects.count(), proposal.picture) == (1, 1, None)
    with pytest.raises(ValidationError, match="closed already"):
        proposals.approve(EVE, proposal.pk, NOW)
    with pytest.raises(ValidationError, match="closed already"):
        proposals.reject(EVE, proposal.pk, "", NOW)
    with pytest.raises(ValidationError, match="closed already"):
        proposals.withdraw(AUTHOR, proposal.pk, NOW)
    assert not Provider.objects.filter(name="second").exists()


def test_only_the_author_withdraws(approval: None) -> None:
    proposal = proposed(set_cooldown(77))
    with pytest.raises(ValidationError, match="Only its author"):
        proposals.withdraw(EVE, proposal.pk, NOW)


def test_a_proposal_shows_no_secret(approval: None) -> None:
    proposed(lambda change: add_provider(change, "second", f"{CANARY}-second"))
    with connection.cursor() as cursor:
        for table in (
            "routing_configproposal",
            "routing_configpicture",
            "routing_sealedsecret",
            "accounting_auditevent",
        ):
            cursor.execute(f"SELECT * FROM {table}")
            assert CANARY not in str(cursor.fetchall())


def test_a_scheduled_change_is_applied_when_it_is_due_and_once(configured: int) -> None:
    proposal = proposed(set_cooldown(77), not_before=LATER)
    assert proposal.state == State.APPROVED
    assert proposals.run_due(LATER - timedelta(seconds=1)) == 0
    assert Route.objects.get().cooldown == 30
    assert proposals.run_due(LATER) == 1
    assert (Route.objects.get().cooldown, current_number()) == (77, configured + 1)
    assert newest().source == f"proposal {proposal.pk}"
    assert proposals.run_due(LATER) == 0
    assert not proposals.apply_one(proposal.pk, LATER)
    assert current_number() == configured + 1


def test_a_scheduled_change_that_does_not_fit_any_more_fails_whole(configured: int) -> None:
    proposal = proposed(lambda change: (rename_alias(change), set_cooldown(77)(change)), not_before=LATER)
    number = make(set_cooldown(88))
    assert proposals.run_due(LATER) == 0
    proposal.refresh_from_db()
    assert (proposal.state, proposal.problem) == (State.FAILED, "Route sonnet: cooldown was changed meanwhile.")
    assert (ModelAlias.objects.get().display_name, current_number()) == ("", number)
    assert proposals.run_due(LATER) == 0


def test_a_scheduled_change_that_is_refused_at_its_time_fails_whole(configured: int) -> None:
    def pattern(name: str) -> Callable[[ChangeSet], None]:
        return lambda change: save_alias(change, ModelAlias(name=name, route=Route.objects.get()))

    proposal = proposed(lambda change: (set_cooldown(77)(change), pattern("claude-a*")(change)), not_before=LATER)
    make(pattern("claude-*a"))
    proposals.run_due(LATER)
    proposal.refresh_from_db()
    assert proposal.state == State.FAILED
    assert "As specific as" in proposal.problem
    assert Route.objects.get().cooldown == 30


def test_an_approved_change_waits_for_its_time_as_well(approval: None) -> None:
    proposal = proposed(set_cooldown(77), not_before=LATER)
    assert proposals.run_due(LATER) == 0, "it is not approved"
    assert proposals.approve(EVE, proposal.pk, NOW).state == State.APPROVED
    assert Route.objects.get().cooldown == 30
    assert proposals.run_due(LATER) == 1


def test_a_change_approved_after_its_time_is_applied_at_once(approval: None) -> None:
    proposal = proposed(set_cooldown(77), not_before=LATER)
    assert proposals.approve(EVE, proposal.pk, LATER + timedelta(minutes=5)).state == State.APPLIED


def test_what_was_scheduled_before_approval_was_asked_for_needs_it(configured: int, settings: Settings) -> None:
    proposal = proposed(set_cooldown(77), not_before=LATER)
    settings.GATEWAY_CONFIG_APPROVAL = True
    assert proposals.run_due(LATER) == 0
    proposal.refresh_from_db()
    assert (proposal.state, Route.objects.get().cooldown) == (State.OPEN, 30)
    assert proposals.approve(EVE, proposal.pk, LATER).state == State.APPLIED


def test_anybody_may_take_back_what_only_waits_for_its_time(configured: int) -> None:
    proposal = proposed(set_cooldown(77), not_before=LATER)
    assert proposals.withdraw(EVE, proposal.pk, NOW).state == State.WITHDRAWN
    assert proposals.run_due(LATER) == 0
