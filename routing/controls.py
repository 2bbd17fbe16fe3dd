"""Orders to single targets: drain, rest, reopen. Audited; every process obeys within a second."""

from datetime import datetime, timedelta

from django.core.exceptions import ValidationError

from accounting.audit.changes import ChangeSet
from routing.models import Provider, RouteTarget, TargetControl, TargetStatus

MOST_MINUTES = 7 * 24 * 60


def drain(change: ChangeSet, provider: Provider, model: str) -> None:
    """No new requests go there until `undo`; those under way finish."""
    control = _control(provider, model)
    control.drained = True
    change.save(control, action="drained")


def rest(change: ChangeSet, provider: Provider, model: str, minutes: int, now: datetime) -> None:
    """No new requests go there for so many minutes."""
    if not 1 <= minutes <= MOST_MINUTES:
        raise ValidationError(f"A rest lasts from 1 to {MOST_MINUTES} minutes.")
    control = _control(provider, model)
    control.rest_until = now + timedelta(minutes=minutes)
    change.save(control, action="rested")


def undo(change: ChangeSet, provider: Provider, model: str) -> None:
    """Ends draining and rest; the breaker stays as it is."""
    control = _control(provider, model)
    control.drained, control.rest_until = False, None
    if not control._state.adding:
        change.save(control, action="resumed")


def reopen(change: ChangeSet, provider: Provider, model: str, now: datetime) -> None:
    """Closes the breaker in every process now, and ends draining and any rest."""
    control = _control(provider, model)
    control.drained, control.rest_until, control.reopened_at = False, None, now
    change.save(control, action="reopened")


def _control(provider: Provider, model: str) -> TargetControl:
    """The stored orders of a target, locked, or none yet. Refused for one that no route and no process knows."""
    stored = TargetControl.objects.select_for_update().filter(provider=provider, model=model).first()
    if stored is not None:
        return stored
    listed = RouteTarget.objects.filter(provider=provider, model=model).exists()
    if not listed and not TargetStatus.objects.filter(provider=provider.name, model=model).exists():
        raise ValidationError(f"No route sends {model} to {provider.name}.")
    return TargetControl(provider=provider, model=model)
