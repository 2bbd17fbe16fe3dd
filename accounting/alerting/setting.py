"""Rules and destinations of alerts: who sees and sets them, and the writes. A refused value is a ValidationError; somebody
who may not is a NotAllowed."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from accounting.access.roles import ADMIN, at_least
from accounting.alerting.sending import send_test
from accounting.audit.changes import ChangeSet
from accounting.limits.asking import NotAllowed, Party
from accounting.models import AlertDelivery, AlertDestination, AlertEvent, AlertRule, Team
from gateway_project.crypto import Secret
from gateway_project.webhooks import new_webhook_secret

MOST_OF_A_TEAM = 100  # rules, and destinations
_Row = TypeVar("_Row", AlertRule, AlertDestination)


def may_set_alerts(party: Party, team: Team | None) -> bool:
    """Owners and admins set the alerts of their team, administrators every team's and the platform's."""
    return party.admin or (team is not None and at_least(party.roles.get(team.name, ""), ADMIN))


def visible_rules(party: Party) -> "QuerySet[AlertRule]":
    rows = AlertRule.objects.select_related("team").order_by("id")
    return rows if party.admin or party.reads_all else rows.filter(team__name__in=list(party.roles))


def visible_destinations(party: Party) -> "QuerySet[AlertDestination]":
    rows = AlertDestination.objects.select_related("team").defer("secret").order_by("id")
    return rows if party.admin or party.reads_all else rows.filter(team__name__in=list(party.roles))


def visible_deliveries(party: Party) -> "QuerySet[AlertDelivery]":
    """Newest first."""
    rows = AlertDelivery.objects.select_related("event").order_by("-id")
    return rows if party.admin or party.reads_all else rows.filter(event__team__in=list(party.roles))


def events_of(team: Team) -> "QuerySet[AlertEvent]":
    """What was raised for a team, newest first."""
    return AlertEvent.objects.filter(team=team.name).prefetch_related("deliveries").order_by("-id")


def save_rule(change: ChangeSet, party: Party, rule: AlertRule, *, expected_version: int | None = None) -> None:
    """A new or changed rule; its destinations are those of its own team."""
    _check(party, rule)
    known = set(AlertDestination.objects.filter(team=rule.team).values_list("pk", flat=True)[: 2 * MOST_OF_A_TEAM])
    if isinstance(rule.destinations, list) and not set(rule.destinations) <= known:
        raise ValidationError({"destinations": _("There is no such destination here.")})
    change.save(rule, expected_version=expected_version)


def save_destination(
    change: ChangeSet, party: Party, destination: AlertDestination, *, expected_version: int | None = None
) -> Secret | None:
    """A new or changed destination; of a new webhook the secret, which is never to be had again. One that is enabled again
    begins anew."""
    _check(party, destination)
    fresh = None
    if destination._state.adding and destination.kind == AlertDestination.Kind.WEBHOOK:
        fresh = new_webhook_secret()
        destination.secret = {"secret": fresh.reveal()}
    if destination.enabled and destination.disabled_because:
        destination.disabled_because = ""
        AlertDestination.objects.filter(pk=destination.pk).update(failing_since=None, delivery_failures=0)
    change.save(destination, expected_version=expected_version)
    return fresh


def rotate_secret(change: ChangeSet, party: Party, destination: AlertDestination) -> Secret:
    """A new secret; the old one signs nothing any more."""
    _check(party, destination)
    if destination.kind != AlertDestination.Kind.WEBHOOK:
        raise ValidationError(_("Only webhooks have a secret."))
    fresh = new_webhook_secret()
    destination.secret = {"secret": fresh.reveal()}
    change.save(destination, action="rotated")
    return fresh


def delete_rule(change: ChangeSet, party: Party, rule: AlertRule) -> None:
    _check(party, rule)
    change.delete(rule)


def delete_destination(change: ChangeSet, party: Party, destination: AlertDestination) -> None:
    """Deletes a destination; rules lose it, what waits for it is cancelled when its time comes."""
    _check(party, destination)
    for rule in AlertRule.objects.select_for_update().filter(team=destination.team).order_by("id"):
        if destination.pk in rule.destinations:
            rule.destinations = [each for each in rule.destinations if each != destination.pk]
            change.save(rule)
    change.delete(destination)


def test_destination(change: ChangeSet, party: Party, destination: AlertDestination) -> None:
    """Notes that somebody tries a destination; `send_test` does it, after the transaction. Raises NotAllowed."""
    _check(party, destination)
    change.note("tested", destination)


def send_test_to(destination: AlertDestination, now: datetime) -> AlertDelivery:
    """The test itself; no transaction waits for the other side."""
    return send_test(destination, now)


def choices_of(team: Team | None) -> Sequence[AlertDestination]:
    """The destinations that rules of this team can name."""
    return list(AlertDestination.objects.filter(team=team).defer("secret").order_by("name")[:MOST_OF_A_TEAM])


def _check(party: Party, row: AlertRule | AlertDestination) -> None:
    if not may_set_alerts(party, row.team):
        raise NotAllowed(
            str(_("Only owners and admins of the team set its alerts; those of the platform, administrators."))
        )
    if row._state.adding and type(row).objects.filter(team=row.team).count() >= MOST_OF_A_TEAM:
        raise ValidationError(_("There are %(most)s already; delete one first.") % {"most": MOST_OF_A_TEAM})
