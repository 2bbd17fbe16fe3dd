"""`config_versions` and `rollback_config`: what they print where, and how they refuse."""

import io

import pytest
from django.core.management import CommandError, call_command

from accounting.models import AuditEvent
from routing.models import Route
from routing.versions.keeping import current_number
from tests.versions.conftest import ADA, CANARY, make, newest, set_cooldown
from tests.versions.test_rollback import lose_everything

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    call_command(*arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_versions_are_listed_newest_first(configured: int) -> None:
    make(set_cooldown(77), reason="too hasty")
    make(set_cooldown(78))
    out, err = run("config_versions", "--limit", "2")
    listed = [line for line in out.splitlines() if not line.startswith(" ")]
    assert [line.split()[0] for line in listed] == ["3", "2"]
    assert listed[0].endswith(ADA.name)
    assert "    why: too hasty\n    changed route sonnet: cooldown: 30 → 77\n" in out
    assert err == "No gateway process is running.\n"
    assert CANARY not in run("config_versions")[0]


@pytest.mark.parametrize("limit", ["0", "-1", "1001"])
def test_a_limit_is_a_number_that_can_be_read(limit: str, configured: int) -> None:
    with pytest.raises(CommandError, match="--limit: a number from 1 to 1000"):
        run("config_versions", "--limit", limit)


def test_a_dry_run_prints_and_changes_nothing(configured: int) -> None:
    make(set_cooldown(77))
    before = current_number(), AuditEvent.objects.count()
    assert run("rollback_config", "1", "--dry-run") == ("changed route sonnet: cooldown: 77 → 30\n", "")
    assert (current_number(), AuditEvent.objects.count()) == before


def test_a_rollback_prints_what_it_changed(configured: int) -> None:
    make(set_cooldown(77))
    assert run("rollback_config", "1", "--reason", "a mistake")[0] == "changed route sonnet: cooldown: 77 → 30\n"
    assert Route.objects.get().cooldown == 30
    assert (newest().actor, newest().actor_kind, newest().reason) == (
        "rollback_config", "command", "rollback to 1: a mistake",
    )  # fmt: skip


def test_a_rollback_to_the_same_changes_nothing(configured: int) -> None:
    assert run("rollback_config", "1")[0] == "nothing to change\n"
    assert current_number() == 1


def test_a_rollback_brings_everything_back(configured: int) -> None:
    make(lose_everything)
    out, _ = run("rollback_config", "1")
    assert "created provider main\n" in out
    assert CANARY not in out
    assert Route.objects.get().targets.count() == 1


def test_a_version_that_never_was_is_refused(configured: int) -> None:
    with pytest.raises(CommandError, match="There is no version 9"):
        run("rollback_config", "9")


def test_approval_is_for_the_console_alone(configured: int, settings: object) -> None:
    settings.GATEWAY_CONFIG_APPROVAL = True  # type: ignore[attr-defined]
    make(set_cooldown(77))
    run("rollback_config", "1")
    assert Route.objects.get().cooldown == 30
