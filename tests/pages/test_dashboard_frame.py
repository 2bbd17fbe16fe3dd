"""The frame of the dashboard: who opens which team's pages, what the address can ask for, what is vendored."""

import gzip
import hashlib
import re
from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from django.test import Client

from accounting.audit.changes import Actor, changing
from accounting.models import AuditEvent, Membership, Team
from gateway_project.dashboard.periods import read_period
from tests.pages.conftest import World, signed_in

VENDORED = Path(__file__).parents[2] / "static" / "vendor"
BERLIN = ZoneInfo("Europe/Berlin")
NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


def test_a_member_starts_at_the_overview_of_their_team(world: World) -> None:
    assert signed_in(world.stranger).get("/").headers["location"] == "/teams/platform/"
    assert b"platform" in signed_in(world.stranger).get("/teams/platform/").content


def test_a_stranger_cannot_tell_a_team_from_none(world: World) -> None:
    Membership.objects.all().delete()
    there, nowhere = (signed_in(world.stranger).get(f"/teams/{name}/") for name in ("platform", "nowhere"))
    assert there.status_code == nowhere.status_code == 404
    assert re.sub(rb"nonce\S+", b"", there.content) == re.sub(rb"nonce\S+", b"", nowhere.content)
    assert Client().get("/teams/platform/").headers["location"].startswith("/accounts/login/")


def test_members_of_a_disabled_team_are_strangers(world: World) -> None:
    Team.objects.update(enabled=False)
    assert signed_in(world.stranger).get("/teams/platform/").status_code == 404


def test_that_an_administrator_looked_is_in_the_audit_log_once_a_session(world: World) -> None:
    browser = signed_in(world.admin)
    for _ in range(3):
        assert b"platform administrator" in browser.get("/teams/platform/").content
    looked = AuditEvent.objects.get(action="looked into")
    assert (looked.actor, looked.object_name, looked.team) == ("ada@example.org", "platform", "platform")


def test_an_administrator_is_a_member_of_their_own_team(world: World) -> None:
    Membership.objects.create(team=world.team, user=world.admin, role="viewer")
    page = signed_in(world.admin).get("/teams/platform/").content
    assert b"platform administrator" not in page
    assert not AuditEvent.objects.filter(action="looked into").exists()


def test_an_auditor_reads_and_is_told_so(world: World) -> None:
    assert b"as an auditor" in signed_in(world.auditor).get("/teams/platform/").content


@pytest.mark.parametrize(
    ("query", "since", "until"),
    [
        ({"period": "7d"}, "2026-11-18T23:00", "2026-11-25T23:00"),
        ({"period": "month"}, "2026-10-31T23:00", "2026-11-25T23:00"),
        ({"period": "last_month"}, "2026-09-30T22:00", "2026-10-31T23:00"),  # summer time ended in between
        ({"period": "24h"}, "2026-11-24T13:00", "2026-11-25T13:00"),
        ({"period": "custom", "since": "2026-03-29", "until": "2026-03-29"}, "2026-03-28T23:00", "2026-03-29T22:00"),
    ],
)
def test_periods_are_whole_days_of_the_readers_zone(query: dict[str, str], since: str, until: str) -> None:
    period = read_period(query, BERLIN, NOON)
    assert f"{period.since:%Y-%m-%dT%H:%M}" == since
    assert f"{period.until:%Y-%m-%dT%H:%M}" == until
    assert not period.problem


@pytest.mark.parametrize(
    "query",
    [
        {"period": "fortnight"},
        {"period": "custom"},
        {"period": "custom", "since": "2026-02-30", "until": "2026-03-01"},
        {"period": "custom", "since": "2026-03-02", "until": "2026-03-01"},
        {"period": "custom", "since": "1000-01-01", "until": "2026-03-01"},
        {"period": "custom", "since": "9999-12-31", "until": "9999-12-31"},
    ],
)
def test_a_period_that_cannot_be_read_is_the_usual_one_and_said(query: dict[str, str]) -> None:
    period = read_period(query, BERLIN, NOON)
    assert period.problem
    assert period.last_day == date(2026, 11, 25)


def test_vendored_files_are_what_their_list_says() -> None:
    listed = dict(re.findall(r"^\| `(\S+)` .*`([0-9a-f]{64})` \|$", (VENDORED / "README.md").read_text(), re.MULTILINE))
    there = {str(file.relative_to(VENDORED)) for file in VENDORED.rglob("*.*") if file.suffix in {".js", ".css"}}
    assert set(listed) == there
    for name, expected in listed.items():
        whole = (VENDORED / name).read_bytes()
        assert hashlib.sha256(whole).hexdigest() == expected
        assert gzip.decompress((VENDORED / f"{name}.gz").read_bytes()) == whole


@pytest.mark.parametrize("name", ["dashboard/dashboard.css", "console/console.css"])
def test_every_rule_of_a_stylesheet_is_closed(name: str) -> None:
    """A rule that is left open swallows all that follow, without a word from the browser."""
    depth = 0
    for number, line in enumerate((VENDORED.parent / name).read_text().splitlines(), 1):
        if line.startswith(("/*", ".", "#", "table", "@")) and not line.startswith("  "):
            assert depth == 0, f"{name}: the rule before line {number} is open"
        depth += line.count("{") - line.count("}")
    assert depth == 0


def test_a_name_that_was_renamed_is_not_there_any_more(world: World) -> None:
    team = Team.objects.get()
    team.name = "platform-two"
    with changing(Actor("test", "system")) as change:
        change.save(team)
    assert signed_in(world.stranger).get("/teams/platform/").status_code == 404
    assert signed_in(world.stranger).get("/teams/platform-two/").status_code == 200
