"""Messages arrive once, are tried again for a day, and what never works is switched off and said."""

import json
import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.core import mail
from django.core.management import call_command
from django.db import connections
from pytest_django import Settings

from accounting.alerting.finding import Found
from accounting.alerting.raising import forget_old, look, raise_alert
from accounting.alerting.sending import MOST_TRIES, WAITS, send_due, send_test
from accounting.alerting.setting import delete_destination, rotate_secret, save_destination
from accounting.audit.changes import changing
from accounting.models import AlertDelivery, AlertDestination, AlertEvent, AlertRule, AlertTurn, AuditEvent, Revision
from tests.alerts.conftest import ADMIN, SYSTEM, Office, make_office
from tests.alerts.receiver import Receiver

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
MATTER = Found("matter:1", "Something happened", "In detail.", "budgets/7/", {"budget": 7})
ONCE = pytest.mark.django_db


def raised(office: Office, matter: Found = MATTER) -> AlertEvent:
    rule = AlertRule.objects.first() or office.rule("budget_used_up")
    event = raise_alert(rule, matter, NOW)
    assert event is not None
    return event


@ONCE
def test_a_webhook_says_what_happened_and_is_signed(office: Office, inbox: Receiver, settings: Settings) -> None:
    settings.GATEWAY_PUBLIC_URL = "https://gateway.example.com"
    event = raised(office)
    assert send_due(NOW) == 1
    assert inbox.genuine(office.secret)
    assert inbox.received == [
        {
            "type": "gateway.budget_used_up",
            "timestamp": "2026-11-25T12:00:00Z",
            "data": {
                "id": event.pk,
                "team": "platform",
                "rule": "budget_used_up",
                "title": "Something happened",
                "text": "In detail.",
                "link": "https://gateway.example.com/teams/platform/budgets/7/",
                "details": {"budget": 7},
            },
        }
    ]
    row = AlertDelivery.objects.get()
    assert (row.state, row.tries, row.attempts[0]["status"]) == ("sent", 1, 200)
    assert inbox.headers[0]["webhook-id"] == row.message_id
    assert send_due(NOW) == 0


@ONCE
def test_a_matter_is_raised_once(office: Office) -> None:
    raised(office)
    rule = AlertRule.objects.get()
    assert raise_alert(rule, MATTER, NOW) is None
    assert (AlertEvent.objects.count(), AlertDelivery.objects.count()) == (1, 1)


@ONCE
def test_mail_goes_to_every_address(office: Office, settings: Settings) -> None:
    settings.GATEWAY_MAIL = True
    rule = office.rule("budget_used_up")
    rule.destinations = [office.mail("olga@example.org", "adam@example.org").pk]
    with changing(SYSTEM) as change:
        change.save(rule)
    raise_alert(rule, Found("k", "One\nline", "Text."), NOW)
    send_due(NOW)
    (message,) = mail.outbox
    assert (message.subject, message.to) == ("[platform] One line", ["olga@example.org", "adam@example.org"])
    assert "Text." in message.body
    assert AlertDelivery.objects.get().state == "sent"


@ONCE
def test_without_mail_it_is_said_that_there_is_none(office: Office) -> None:
    row = send_test(office.mail("olga@example.org"), NOW)
    assert (row.state, row.last["error"]) == ("failed", "no mail is configured on this gateway (EMAIL_URL)")


@ONCE
def test_it_is_tried_again_later_and_later_then_given_up(office: Office, inbox: Receiver) -> None:
    inbox.statuses = [500]
    raised(office)
    moment = NOW
    for wait in (*WAITS, None):
        assert send_due(moment) == 1
        row = AlertDelivery.objects.get()
        if wait is not None:
            assert (row.state, row.next_at) == ("waiting", moment + timedelta(seconds=wait))
            assert send_due(moment + timedelta(seconds=wait - 1)) == 0
            moment += timedelta(seconds=wait)
    assert (row.state, row.tries, len(row.attempts), row.finished_at) == ("failed", MOST_TRIES, MOST_TRIES, moment)
    assert len({headers["webhook-id"] for headers in inbox.headers}) == 1
    assert timedelta(hours=24) <= moment - NOW < timedelta(hours=25)


@ONCE
def test_it_arrives_when_the_receiver_is_back(office: Office, inbox: Receiver) -> None:
    inbox.statuses = [503, 200]
    raised(office)
    send_due(NOW)
    hook = AlertDestination.objects.get()
    assert (hook.failing_since, hook.delivery_failures, hook.delivery_error) == (NOW, 1, "answered 503")
    send_due(NOW + timedelta(seconds=WAITS[0]))
    row, hook = AlertDelivery.objects.get(), AlertDestination.objects.get()
    assert (row.state, row.tries, [each["status"] for each in row.attempts]) == ("sent", 2, [503, 200])
    assert (hook.failing_since, hook.delivery_failures, hook.delivery_error) == (None, 0, "")


@ONCE
def test_what_fails_for_a_day_is_switched_off_and_said_to_the_others(
    office: Office, inbox: Receiver, settings: Settings
) -> None:
    settings.GATEWAY_MAIL = True
    office.mail("olga@example.org")
    inbox.statuses = [500]
    raised(office)
    moment = NOW
    for wait in (*WAITS, 0):
        send_due(moment)
        moment += timedelta(seconds=wait)
    hook = AlertDestination.objects.get(kind="webhook")
    assert not hook.enabled
    assert "answered 500" in hook.disabled_because
    assert AuditEvent.objects.get(action="disabled").object_name == "platform/hook"
    send_due(moment)
    assert mail.outbox[0].subject == "[platform] Alerts are no longer sent to hook"
    assert AlertDelivery.objects.filter(kind="webhook", state="waiting").count() == 0


@ONCE
def test_a_short_outage_with_many_alerts_switches_nothing_off(office: Office, inbox: Receiver) -> None:
    inbox.statuses = [500]
    for number in range(20):
        raised(office, Found(f"matter:{number}", "Something", ""))
    assert send_due(NOW) == 20
    assert AlertDestination.objects.get().enabled


@ONCE
def test_a_receiver_that_says_gone_is_switched_off_at_once(office: Office, inbox: Receiver) -> None:
    inbox.statuses = [410]
    raised(office)
    send_due(NOW)
    hook = AlertDestination.objects.get()
    assert (hook.enabled, hook.disabled_because) == (False, "it answered 410: gone")
    assert AlertDelivery.objects.get().state == "failed"
    hook.enabled = True
    with changing(SYSTEM) as change:
        save_destination(change, ADMIN, hook)
    hook.refresh_from_db()
    assert (hook.disabled_because, hook.failing_since, hook.delivery_failures) == ("", None, 0)


@ONCE
def test_what_waits_for_a_destination_that_is_gone_or_off_is_cancelled(office: Office, inbox: Receiver) -> None:
    raised(office)
    with changing(SYSTEM) as change:
        delete_destination(change, ADMIN, office.webhook)
    assert AlertRule.objects.get().destinations == []
    assert send_due(NOW) == 0
    assert AlertDelivery.objects.get().state == "cancelled"
    assert not inbox.received


@ONCE
def test_a_new_secret_signs_and_the_old_one_does_not(office: Office, inbox: Receiver) -> None:
    with changing(SYSTEM) as change:
        fresh = rotate_secret(change, ADMIN, office.webhook).reveal()
    send_test(office.webhook, NOW)
    assert (inbox.genuine(fresh), inbox.genuine(office.secret)) == (True, False)


@ONCE
def test_the_secret_is_in_no_log_and_not_readable_in_the_database(office: Office) -> None:
    events = json.dumps(list(AuditEvent.objects.values_list("changes", flat=True)))
    assert office.secret not in events
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT secret FROM accounting_alertdestination")
        assert office.secret not in cursor.fetchone()[0]


@ONCE
def test_alerts_reload_no_picture_of_the_running_gateway(office: Office) -> None:
    before = Revision.objects.get(name=Revision.DIRECTORY).number
    rule = office.rule("budget_used_up")
    with changing(SYSTEM) as change:
        change.delete(rule)
    assert Revision.objects.get(name=Revision.DIRECTORY).number == before


@ONCE
def test_history_is_kept_for_ninety_days(office: Office) -> None:
    raised(office)
    assert (forget_old(NOW + timedelta(days=89)), forget_old(NOW + timedelta(days=91))) == (0, 1)
    assert not AlertDelivery.objects.exists()


@ONCE
def test_the_command_looks_and_sends(office: Office, inbox: Receiver, capsys: pytest.CaptureFixture[str]) -> None:
    office.rule("key_expires", days=7)
    type(office.key).objects.update(expires_at=datetime.now(UTC) + timedelta(days=1))
    call_command("send_alerts")
    call_command("send_alerts")
    assert capsys.readouterr().out == "1 raised, 1 sent or tried\n0 raised, 0 sent or tried\n"
    assert inbox.received[0]["data"]["title"] == "The key platform/default/ci expires soon"


@pytest.mark.parametrize("workers", [4])
def test_several_workers_send_each_message_once(any_database: str, inbox: Receiver, workers: int) -> None:
    office = make_office(inbox.url)
    for number in range(12):
        raised(office, Found(f"matter:{number}", "Something", ""))
    barrier = threading.Barrier(workers)
    tried: list[int] = []

    def work() -> None:
        barrier.wait(timeout=20)
        try:
            tried.append(send_due(NOW))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert sum(tried) == len(inbox.received) == 12
    assert len({headers["webhook-id"] for headers in inbox.headers}) == 12


def test_of_several_workers_one_looks_and_a_matter_is_one_event(any_database: str, inbox: Receiver) -> None:
    office = make_office(inbox.url)
    office.rule("key_expires", days=7)
    type(office.key).objects.update(expires_at=datetime.now(UTC) + timedelta(days=1))
    AlertTurn.objects.all().delete()
    barrier = threading.Barrier(4)
    raised_by: list[int] = []

    def work() -> None:
        barrier.wait(timeout=20)
        try:
            raised_by.append(len(look(datetime.now(UTC))))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert sorted(raised_by) == [0, 0, 0, 1]
