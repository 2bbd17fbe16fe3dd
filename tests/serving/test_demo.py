"""The demo fills an empty installation, and no other."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command

from accounting.models import Budget, RequestRecord, Team, VirtualKey
from accounting.services import has_secret
from routing.demo import REQUESTS, load_demo

pytestmark = pytest.mark.django_db(transaction=True)
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def test_the_demo_has_teams_keys_and_a_day_of_every_kind_of_request() -> None:
    secret = load_demo("http://127.0.0.1:8000", NOW)
    assert has_secret(VirtualKey.objects.get(project__team__name="default"), secret.reveal())
    assert set(Team.objects.values_list("name", flat=True)) == {"default", "platform", "research", "support"}
    records = RequestRecord.objects.all()
    assert records.count() == REQUESTS
    assert {record.outcome for record in records} == {"served", "refused", "upstream_error", "client_left"}
    assert all(NOW - timedelta(days=1) < record.started_at <= NOW for record in records)
    assert Budget.objects.filter(team__isnull=False).count() == 4
    assert all(record.tokens_output for record in records if record.outcome == "served")


def test_the_demo_is_not_loaded_over_anything() -> None:
    Team.objects.create(name="ours")
    with pytest.raises(CommandError, match="not empty"):
        call_command("load_demo")
    call_command("load_demo", "--again")
    assert Team.objects.count() == 1
    assert not RequestRecord.objects.exists()
