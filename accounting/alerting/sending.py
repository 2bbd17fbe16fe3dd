"""Sends what waits: each delivery is claimed by one conditional UPDATE, tried, and tried again later, at most eight times.

A process that dies while it sends leaves a claim that ends by itself; then the same message goes out once more, with the same id.
"""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import F

from accounting.alerting.raising import TEST, notify
from accounting.audit.changes import Actor, changing
from accounting.models import AlertDelivery, AlertDestination, AlertEvent
from gateway_project.crypto import Secret, UnreadableSecret
from gateway_project.mail import send_mail
from gateway_project.telemetry import logger
from gateway_project.webhooks import GONE, Outcome, send_webhook

# After the first, second … failed try; the eighth is the last, a day after the first.
WAITS = (10, 60, 300, 1800, 7200, 21_600, 55_800)  # seconds
MOST_TRIES = len(WAITS) + 1
LEASE = timedelta(minutes=15)  # for which a delivery that is being sent is nobody else's
AT_ONCE, MOST_BATCHES = 8, 10  # in one turn, which so ends long before its claims do
DISABLED_AFTER = timedelta(hours=24)  # of failures only, and at least so many tries:
LEAST_FAILURES = MOST_TRIES
ACTOR = Actor("alerts", "system")

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Message:
    """Everything that sending needs, without the database."""

    delivery: AlertDelivery
    destination: AlertDestination
    secret: Secret
    address: str  # of the gateway


def send_due(now: datetime) -> int:
    """Sends what is due, several at once; how many were tried."""
    tried = 0
    for _batch in range(MOST_BATCHES):
        waiting = AlertDelivery.objects.filter(state=AlertDelivery.State.WAITING, next_at__lte=now)
        due = list(waiting.select_related("event").order_by("next_at")[:AT_ONCE])
        if not due:
            break
        claimed = [row for row in due if claim(row, now)]
        messages = [message for row in claimed if (message := _message(row, now)) is not None]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            outcomes = list(pool.map(_sent, messages))
        for message, outcome in zip(messages, outcomes, strict=True):
            finish(message, outcome, now)
        tried += len(messages)
        if len(due) < AT_ONCE:
            break
    return tried


def claim(row: AlertDelivery, now: datetime) -> bool:
    """Whether this delivery is now ours to send."""
    rows = AlertDelivery.objects.filter(
        pk=row.pk, state=AlertDelivery.State.WAITING, tries=row.tries, next_at=row.next_at
    )
    if not rows.update(tries=F("tries") + 1, next_at=now + LEASE):
        return False
    row.tries += 1
    row.next_at = now + LEASE
    return True


def send_test(destination: AlertDestination, now: datetime) -> AlertDelivery:
    """Sends a test message at once, once; the delivery says how it went."""
    event = AlertEvent(rule_name="", kind=TEST, key=f"test:{destination.pk}:{now.timestamp()}", at=now)
    event.team = destination.team.name if destination.team else ""
    event.title = "This is a test"
    event.text = f"Alerts for {destination.name} arrive."
    event.path = f"/teams/{event.team}/alerts/" if event.team else "/admin/"
    event.save(force_insert=True)
    row = AlertDelivery(
        event=event, destination=destination.pk, destination_name=destination.name, kind=destination.kind
    )
    row.message_id, row.next_at, row.tries = f"msg_test_{event.pk}", now + LEASE, MOST_TRIES
    row.save(force_insert=True)
    message = _message(row, now, even_disabled=True)
    if message is not None:
        finish(message, _sent(message), now)
    return row


def _message(row: AlertDelivery, now: datetime, *, even_disabled: bool = False) -> Message | None:
    """What to send; None, and the delivery is over, where the destination is gone or disabled."""
    destination = AlertDestination.objects.select_related("team").defer("secret").filter(pk=row.destination).first()
    if destination is None or not (destination.enabled or even_disabled):
        AlertDelivery.objects.filter(pk=row.pk).update(state=AlertDelivery.State.CANCELLED, finished_at=now)
        return None
    try:
        secret = Secret(destination.secret.get("secret", "")) if destination.kind == "webhook" else Secret("")
    except UnreadableSecret:
        secret = Secret("")
    return Message(row, destination, secret, settings.GATEWAY_PUBLIC_URL)


def _sent(message: Message) -> Outcome:
    """In a thread of its own: no database here."""
    event, destination = message.delivery.event, message.destination
    link = message.address + event.path if message.address and event.path else ""
    if destination.kind == AlertDestination.Kind.MAIL:
        text = "\n\n".join(filter(None, (event.text, link, _footer(event))))
        error = send_mail(f"[{event.team or 'gateway'}] {event.title}", text, destination.addresses)
        return Outcome(not error, error=error)
    if not message.secret:
        return Outcome(False, error="the secret cannot be read; make a new one")
    body = json.dumps(payload(event, link), ensure_ascii=False, separators=(",", ":")).encode()
    return send_webhook(destination.url, message.secret, message.delivery.message_id, body)


def payload(event: AlertEvent, link: str) -> dict[str, object]:
    """The body of a webhook (docs/alerts.md)."""
    data = {
        "id": event.pk,
        "team": event.team or None,
        "rule": event.rule_name or None,
        "title": event.title,
        "text": event.text,
        "link": link or None,
        "details": event.details,
    }
    return {"type": f"gateway.{event.kind}", "timestamp": event.at.isoformat().replace("+00:00", "Z"), "data": data}


def _footer(event: AlertEvent) -> str:
    return f"-- \nRule {event.rule_name} of the team {event.team}" if event.rule_name and event.team else ""


def finish(message: Message, outcome: Outcome, now: datetime) -> None:
    """Writes down how a try went, of the delivery and of the destination."""
    row = message.delivery
    tried = {
        "at": now.isoformat(),
        "status": outcome.status,
        "error": outcome.error,
        "duration_ms": outcome.duration_ms,
    }
    row.attempts = [*row.attempts, tried][-MOST_TRIES:]
    if outcome.ok:
        row.state, row.finished_at = AlertDelivery.State.SENT, now
    elif row.tries >= MOST_TRIES or outcome.status == GONE:
        row.state, row.finished_at = AlertDelivery.State.FAILED, now
    else:
        row.next_at = now + timedelta(seconds=WAITS[row.tries - 1])
    row.save(update_fields=["attempts", "state", "finished_at", "next_at"])
    if not outcome.ok:
        log.warning(
            "an alert was not delivered", destination=row.destination_name, tries=row.tries, error=outcome.error
        )
    _note(message.destination, outcome, now)


def _note(destination: AlertDestination, outcome: Outcome, now: datetime) -> None:
    rows = AlertDestination.objects.filter(pk=destination.pk)
    if outcome.ok:
        rows.update(delivered_at=now, failing_since=None, delivery_failures=0, delivery_error="")
        return
    rows.filter(failing_since=None).update(failing_since=now)
    rows.update(delivery_failures=F("delivery_failures") + 1, delivery_error=outcome.error[:300])
    stands = rows.first()
    if stands is None or not stands.enabled:
        return
    since = stands.failing_since or now
    if outcome.status == GONE:
        _disable(stands, "it answered 410: gone", now)
    elif now - since >= DISABLED_AFTER and stands.delivery_failures >= LEAST_FAILURES:
        _disable(stands, f"nothing has arrived since {since:%Y-%m-%d %H:%M} UTC: {outcome.error}", now)


def _disable(destination: AlertDestination, reason: str, now: datetime) -> None:
    """Stops sending there, and says so to the team's other destinations."""
    with transaction.atomic(), changing(ACTOR) as change:
        destination.enabled, destination.disabled_because = False, reason[:300]
        change.save(destination, action="disabled")
        AlertDelivery.objects.filter(destination=destination.pk, state=AlertDelivery.State.WAITING).update(
            state=AlertDelivery.State.CANCELLED, finished_at=now
        )
        title = f"Alerts are no longer sent to {destination.name}"
        text = f"The destination was disabled: {reason}. Enable it again when it works."
        notify(destination.team, title, text, _others(destination), now)


def _others(destination: AlertDestination) -> Sequence[AlertDestination]:
    return list(AlertDestination.objects.filter(team=destination.team, enabled=True).exclude(pk=destination.pk))
