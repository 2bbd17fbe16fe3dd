"""Changes that wait: for a second administrator, for their time, or for both.

A form's change is made in a transaction, looked at (`draft`) and taken back; what is stored is the picture it would have
led to. Later the difference is merged into the configuration as it is by then: all of it, or, where somebody else has
changed the same field, nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import DataError, IntegrityError
from django.db.models import Q

from accounting.audit.changes import Actor, ChangeSet, StaleVersion, changing
from accounting.models import Revision
from routing.models import ConfigProposal, ConfigVersion
from routing.models.versions import LONGEST_REASON
from routing.versions.applying import apply
from routing.versions.difference import Change, conflicts, differences, of_events, stored
from routing.versions.keeping import current_number, drop_unused, picture_of, store_picture
from routing.versions.picture import Picture, Taken, decode, take_picture

State = ConfigProposal.State
LIFETIME = timedelta(days=14)
MOST_DUE = 10
MOST_EXPIRED = 100
MOST_TRIES = 3
SCHEDULER = Actor("gateway", "system")


@dataclass(frozen=True, slots=True)
class Wish:
    """What an administrator asks for beside the change: why, and from when on."""

    reason: str = ""
    not_before: datetime | None = None

    @property
    def waits(self) -> bool:
        """Whether such a change is stored instead of made."""
        return bool(settings.GATEWAY_CONFIG_APPROVAL or self.not_before)


@dataclass(frozen=True, slots=True)
class Draft:
    """A change that was made and is about to be taken back: what it was made on, and what it led to."""

    base: ConfigVersion
    taken: Taken
    changes: Sequence[Change]


@dataclass(frozen=True, slots=True)
class Person:
    """An administrator, as the audit log names them and by the id of their account."""

    actor: Actor
    id: int | None


class _Moved(Exception):
    """Somebody else was faster; look again."""


def draft(change: ChangeSet) -> Draft | None:
    """What the transaction of `change` did to the routing configuration, before it is taken back; None for nothing."""
    events = change.events.get(Revision.ROUTING)
    if not events:
        return None
    base = ConfigVersion.objects.select_related("picture").filter(number=current_number(lock=True)).first()
    if base is None:
        raise ValidationError("The configuration was changed at the same moment; save again.")
    taken = take_picture()
    if not differences(picture_of(base), taken.picture):
        return None
    return Draft(base, taken, of_events(events))


def propose(draft: Draft, by: Person, wish: Wish, now: datetime) -> ConfigProposal:
    """Stores a change that has to wait. Call it when the change itself has been taken back."""
    changes, more = stored(draft.changes)
    with changing(by.actor) as change:
        current_number(lock=True)  # nobody clears away pictures now
        proposal = ConfigProposal.objects.create(
            state=State.OPEN if settings.GATEWAY_CONFIG_APPROVAL else State.APPROVED,
            created_at=now,
            author=by.actor.name[:254],
            author_id=by.id,
            source=by.actor.source[:100],
            reason=wish.reason[:LONGEST_REASON],
            base=draft.base,
            picture=store_picture(draft.taken),
            changes=changes,
            more_changes=more,
            activate_at=wish.not_before,
            expires_at=max(now, wish.not_before or now) + LIFETIME,
        )
        change.note("proposed", proposal, {"not before": [None, str(wish.not_before)]} if wish.not_before else {})
    return proposal


def problems_of(proposal: ConfigProposal) -> list[str]:
    """Why the proposal could not be merged into the configuration as it is now, as far as can be seen beforehand."""
    if proposal.picture is None:
        return []
    base = picture_of(proposal.base)
    return conflicts(differences(base, _proposed(proposal)), base, take_picture().picture)


def approve(by: Person, pk: int, now: datetime) -> ConfigProposal:
    """A second administrator agrees; what is due is applied at once.

    Raises ValidationError for the author, for a proposal that is closed, and with every conflict.
    """
    with changing(by.actor) as change:
        proposal = _open(pk, now)
        if settings.GATEWAY_CONFIG_APPROVAL and by.id == proposal.author_id:
            raise ValidationError("Somebody else has to approve this: nobody approves their own proposal.")
        if found := problems_of(proposal):
            raise ValidationError(found)
        proposal.state, proposal.decided_by, proposal.decided_at = State.APPROVED, by.actor.name[:254], now
        proposal.save(update_fields=["state", "decided_by", "decided_at"])
        change.note("approved", proposal)
    if proposal.activate_at is None or proposal.activate_at <= now:
        apply_one(pk, now)
    proposal.refresh_from_db()
    return proposal


def reject(by: Person, pk: int, remark: str, now: datetime) -> ConfigProposal:
    """An administrator says no. Raises ValidationError for a proposal that is closed."""
    return _decline(by, pk, State.REJECTED, remark, now)


def withdraw(by: Person, pk: int, now: datetime) -> ConfigProposal:
    """The author takes it back, or anybody a change that only waits for its time. Raises ValidationError as above."""
    return _decline(by, pk, State.WITHDRAWN, "", now)


def _decline(by: Person, pk: int, state: str, remark: str, now: datetime) -> ConfigProposal:
    with changing(by.actor) as change:
        proposal = _open(pk, now, State.OPEN, State.APPROVED)
        if state == State.WITHDRAWN and proposal.state == State.OPEN and by.id != proposal.author_id:
            raise ValidationError("Only its author withdraws a proposal; reject it instead.")
        proposal.remark = remark[:LONGEST_REASON]
        proposal.decided_by, proposal.decided_at = by.actor.name[:254], now
        _close(proposal, state, now)
        change.note(str(state), proposal, {"remark": [None, remark]} if remark else {})
    return proposal


def _open(pk: int, now: datetime, *states: str) -> ConfigProposal:
    """The proposal, locked, if it can still be decided."""
    proposal = ConfigProposal.objects.select_for_update().filter(pk=pk).first()
    if proposal is None:
        raise ValidationError("There is no such proposal.")
    if proposal.state not in (states or (State.OPEN,)) or proposal.expires_at <= now:
        raise ValidationError(f"This proposal is closed already: {proposal.get_state_display()}.")
    return proposal


def _close(proposal: ConfigProposal, state: str, now: datetime, problem: str = "") -> None:
    """Ends a proposal; its picture goes, and the secrets that nothing else needs."""
    proposal.state, proposal.closed_at, proposal.problem, proposal.picture = state, now, problem, None
    proposal.save()
    current_number(lock=True)
    drop_unused()


def run_due(now: datetime) -> int:
    """Applies what is due and closes what has expired; how many were applied. Any process may do so at any time."""
    expired = ConfigProposal.objects.filter(state=State.OPEN, expires_at__lte=now).values_list("pk", flat=True)
    for pk in list(expired[:MOST_EXPIRED]):
        _end(pk, State.OPEN, State.EXPIRED, now)
    due = ConfigProposal.objects.filter(Q(activate_at=None) | Q(activate_at__lte=now), state=State.APPROVED)
    return sum(apply_one(pk, now) for pk in list(due.order_by("pk").values_list("pk", flat=True)[:MOST_DUE]))


def apply_one(pk: int, now: datetime) -> bool:
    """Applies an approved proposal, exactly once whoever tries; what stands in the way is kept on it. True if it was us."""
    for _ in range(MOST_TRIES):
        try:
            return _apply(pk, now)
        except _Moved:
            continue
        except ValidationError as error:
            return _end(pk, State.APPROVED, State.FAILED, now, "\n".join(error.messages))
        except (StaleVersion, IntegrityError, DataError) as error:
            return _end(pk, State.APPROVED, State.FAILED, now, str(error)[:LONGEST_REASON])
    return False  # the configuration moves without end; the next round tries again


def _apply(pk: int, now: datetime) -> bool:
    proposal = ConfigProposal.objects.select_related("base__picture", "picture").get(pk=pk)
    approver = f", approved by {proposal.decided_by}" if proposal.decided_by else ""
    actor = Actor(proposal.author, "user", f"proposal {pk}{approver}"[:100])
    with changing(actor) as change:
        claimed = ConfigProposal.objects.filter(pk=pk, state=State.APPROVED)
        if settings.GATEWAY_CONFIG_APPROVAL and not proposal.decided_by:
            claimed.update(state=State.OPEN)  # it was made when nobody had to approve
            return False
        if not claimed.update(state=State.APPLIED):
            return False
        change.reason = proposal.reason
        _merge(change, proposal)
        _close(proposal, State.APPLIED, now)
    made = ConfigVersion.objects.filter(number__gt=proposal.base.number, source=actor.source).first()
    ConfigProposal.objects.filter(pk=pk).update(version=made.number if made else None)
    return True


def _merge(change: ChangeSet, proposal: ConfigProposal) -> None:
    seen = current_number()
    base = picture_of(proposal.base)
    edits = differences(base, _proposed(proposal))
    if found := conflicts(edits, base, take_picture().picture):
        raise ValidationError(found)
    apply(change, edits)
    if current_number(lock=True) != seen:
        raise _Moved


def _proposed(proposal: ConfigProposal) -> Picture:
    if proposal.picture is None:
        raise ValidationError("This proposal is closed already.")
    return decode(bytes(proposal.picture.data))


def _end(pk: int, from_state: str, state: str, now: datetime, problem: str = "") -> bool:
    """Closes a proposal by itself. Always False: nothing was applied."""
    with changing(SCHEDULER) as change:
        proposal = ConfigProposal.objects.select_for_update().filter(pk=pk, state=from_state).first()
        if proposal is not None:
            _close(proposal, state, now, problem)
            change.note(str(state), proposal, {"problem": [None, problem]} if problem else {})
    return False
