"""Raises alerts: what rules have found becomes one event each, and a delivery to each destination of the rule."""

import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction

from accounting.alerting.finding import Found, Kind, find
from accounting.models import AlertDelivery, AlertDestination, AlertEvent, AlertRule, AlertTurn, Team

QUICK, SLOW = timedelta(seconds=20), timedelta(minutes=10)  # between two looks
OLDEST = timedelta(days=90)  # what is kept of history
MOST_REMOVED = 1000  # in one turn
_TURNS: dict[str, tuple[timedelta, tuple[str, ...]]] = {
    "requests": (QUICK, (Kind.BUDGET_THRESHOLD, Kind.BUDGET_USED_UP, Kind.ERROR_SHARE, Kind.UNPRICED_MODEL)),
    "keys": (SLOW, (Kind.KEY_EXPIRES, Kind.KEY_UNUSED)),
}
TEST, NOTICE = "test", "notice"


def look(now: datetime) -> list[AlertEvent]:
    """Raises what is due and was not raised yet. Of several processes one looks; all may ask."""
    raised: list[AlertEvent] = []
    for name, (every, kinds) in _TURNS.items():
        if not claim_turn(name, every, now):
            continue
        rules = AlertRule.objects.filter(enabled=True, kind__in=kinds).select_related("team").order_by("id")
        for rule in rules:
            if rule.team is None or rule.team.enabled:
                raised += _raised(rule, now)
    if claim_turn("history", timedelta(hours=1), now):
        forget_old(now)
    return raised


def claim_turn(name: str, every: timedelta, now: datetime) -> bool:
    """Whether it is this process's turn, by one conditional UPDATE."""
    turn, _made = AlertTurn.objects.get_or_create(name=name, defaults={"until": datetime.fromtimestamp(0, now.tzinfo)})
    if turn.until > now:
        return False  # as mostly: without a write
    return bool(AlertTurn.objects.filter(name=name, until__lte=now).update(until=now + every))


def _raised(rule: AlertRule, now: datetime) -> list[AlertEvent]:
    found = {each.key: each for each in find(rule, now)}
    known = set(AlertEvent.objects.filter(rule=rule.pk, key__in=list(found)).values_list("key", flat=True))
    fresh = [each for key, each in found.items() if key not in known]
    events = (raise_alert(rule, each, now) for each in fresh)
    return [event for event in events if event is not None]


def raise_alert(rule: AlertRule, found: Found, now: datetime) -> AlertEvent | None:
    """Writes one event and its deliveries; None if it was written already."""
    event = AlertEvent(
        rule=rule.pk,
        rule_name=rule.name,
        team=rule.team.name if rule.team else "",
        kind=rule.kind,
        key=found.key,
        title=found.title[:200],
        text=found.text[:1000],
        path=f"/teams/{rule.team.name}/{found.page}" if rule.team else "/admin/",
        details=dict(found.details),
        at=now,
    )
    try:
        with transaction.atomic():
            event.save(force_insert=True)
            deliver(event, destinations_of(rule), now)
    except IntegrityError:
        return None
    return event


def notify(
    team: Team | None, title: str, text: str, destinations: Iterable[AlertDestination], now: datetime
) -> AlertEvent:
    """An event that no rule has raised: something about alerts themselves."""
    event = AlertEvent(rule_name="", team=team.name if team else "", kind=NOTICE, key=uuid.uuid4().hex)
    event.title, event.text, event.at = title[:200], text[:1000], now
    event.path = f"/teams/{team.name}/alerts/" if team else "/admin/"
    event.save(force_insert=True)
    deliver(event, destinations, now)
    return event


def destinations_of(rule: AlertRule) -> Sequence[AlertDestination]:
    """Where a rule's alerts go; only to those of its own team."""
    return list(AlertDestination.objects.filter(pk__in=rule.destinations, team=rule.team, enabled=True))


def deliver(event: AlertEvent, destinations: Iterable[AlertDestination], now: datetime) -> list[AlertDelivery]:
    rows = [
        AlertDelivery(
            event=event,
            destination=each.pk,
            destination_name=each.name,
            kind=each.kind,
            message_id=f"msg_{uuid.uuid4().hex}",
            next_at=now,
        )
        for each in destinations
    ]
    return AlertDelivery.objects.bulk_create(rows)


def forget_old(now: datetime) -> int:
    """Removes history that is too old; how many events."""
    old = list(
        AlertEvent.objects.filter(at__lt=now - OLDEST).order_by("at").values_list("pk", flat=True)[:MOST_REMOVED]
    )
    AlertDelivery.objects.filter(event__in=old).delete()
    AlertEvent.objects.filter(pk__in=old).delete()
    return len(old)
