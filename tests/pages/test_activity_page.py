"""Activity: the team's part of the audit log, filtered, and paged so that nothing is shown twice or left out."""

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounting.activity import LATEST, slice_of
from accounting.audit.changes import Actor, changing
from accounting.models import AuditEvent, Project, Team
from tests.pages.conftest import World, signed_in

ADDRESS = "/teams/platform/activity/"
ADA = Actor("ada@example.org", "user", "203.0.113.9")


def make_events(count: int, team: str = "platform", **fields: object) -> list[int]:
    """Ids, oldest first."""
    values = {"actor": "bulk", "actor_kind": "command", "action": "changed", "object_type": "route", "team": team}
    rows = [AuditEvent(**{**values, "object_name": f"thing-{number}", **fields}) for number in range(count)]
    return [row.pk for row in AuditEvent.objects.bulk_create(rows)]


def shown(page: str) -> list[str]:
    return re.findall(r"thing-\d+", page)


@pytest.fixture
def browser(world: World) -> Client:
    return signed_in(world.stranger)


def test_a_change_reads_as_who_what_before_and_after(world: World, browser: Client) -> None:
    with changing(ADA) as change:
        world.project.display_name = "The default"
        change.save(world.project)
        world.project.display_name = "Default"
        change.save(world.project)
    page = browser.get(ADDRESS).content.decode()
    assert "ada@example.org" in page
    assert "<del>The default</del>" in page
    assert "<ins>Default</ins>" in page
    assert "203.0.113.9" not in page, "where from is for admins"
    assert "203.0.113.9" in signed_in(world.admin).get(ADDRESS).content.decode()


def test_moments_and_money_read_as_people_write_them(world: World, browser: Client) -> None:
    changes = {
        "raise_until": ["2026-10-01T10:00:00+00:00", "2026-12-01T00:00:00.250000+00:00"],
        "raise_amount": ["0.010000000000", "500.000000000000"],
        "name": ["2026-99-01T00:00:00+00:00", "1.50"],
    }
    world.team.timezone = "Europe/Berlin"
    world.team.save()
    make_events(1, changes=changes)
    page = browser.get(ADDRESS).content.decode()
    for before, after in (
        ("1 Oct 2026 12:00", "1 Dec 2026 01:00"),
        ("0.01", "500"),
        ("2026-99-01T00:00:00+00:00", "1.50"),
    ):
        assert f"<del>{before}</del>" in page
        assert f"<ins>{after}</ins>" in page


def test_other_teams_events_are_never_there(world: World, browser: Client) -> None:
    with changing(Actor("eve@example.org", "user")) as change:
        other = Team(name="other")
        change.save(other)
        change.save(Project(team=other, name="hidden-project"))
    for query in ("", "?actor=eve@example.org", "?object_type=project", "?before=99999999", "?after=0"):
        page = browser.get(ADDRESS + query).content.decode()
        assert "hidden-project" not in page
    assert "eve@example.org" not in browser.get(ADDRESS).content.decode(), "not among the choices either"


def test_pages_go_through_everything_once_while_events_are_added(world: World, browser: Client) -> None:
    make_events(120)
    page = browser.get(ADDRESS, {"object_type": "route"}).content.decode()
    found = shown(page)
    make_events(5, object_name="later")
    while older := re.search(r'rel="next" href="\?([^"]+)"', page):
        page = browser.get(f"{ADDRESS}?{older[1].replace('&amp;', '&')}").content.decode()
        found += shown(page)
    assert found == [f"thing-{number}" for number in reversed(range(120))]
    newer = re.search(r'rel="prev" href="\?([^"]+)"', page)
    assert newer
    back = browser.get(f"{ADDRESS}?{newer[1].replace('&amp;', '&')}").content.decode()
    assert shown(back) == [f"thing-{number}" for number in reversed(range(20, 70))]


def test_filters_narrow_by_person_kind_action_and_time(world: World, browser: Client) -> None:
    old = make_events(3, actor="old@example.org")
    AuditEvent.objects.filter(pk__in=old).update(at=timezone.now() - timedelta(days=200))
    make_events(2, actor="new@example.org", action="deleted")
    assert len(shown(browser.get(ADDRESS, {"object_type": "route"}).content.decode())) == 2
    assert len(shown(browser.get(ADDRESS, {"actor": "old@example.org", "period": "365d"}).content.decode())) == 3
    assert shown(browser.get(ADDRESS, {"action": "deleted", "actor": "nobody"}).content.decode()) == []


def test_the_csv_is_of_what_is_shown(world: World, browser: Client) -> None:
    make_events(3, actor="new@example.org")
    make_events(3, actor="else@example.org")
    page = browser.get(ADDRESS, {"actor": "new@example.org"}).content.decode()
    link = re.search(r'href="(/api/v1/audit-events/\?[^"]+)"', page)
    assert link
    table = browser.get(link[1].replace("&amp;", "&"))
    assert table["content-type"] == "text/csv; charset=utf-8"
    assert table.getvalue().decode().count("new@example.org") == 3
    assert b"else@example.org" not in table.getvalue()


@pytest.mark.parametrize("query", ["before=x", "after=-1", "before=99999999999999999999", "actor=%00", "period=x"])
def test_addresses_that_make_no_sense_are_pages_too(query: str, browser: Client) -> None:
    assert browser.get(f"{ADDRESS}?{query}").status_code == 200


def test_it_asks_few_bounded_questions(
    world: World, browser: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    make_events(LATEST + 10)
    with django_assert_max_num_queries(14):
        browser.get(ADDRESS)


def test_slices_say_whether_more_follows_on_both_sides(db: None) -> None:
    first, *_, last = make_events(5)
    events = AuditEvent.objects.order_by("-id")
    newest = slice_of(events, size=2)
    assert (newest.newer, newest.older) == (None, last - 1)
    end = slice_of(events, before=first + 1, size=2)
    assert (end.newer, end.older) == (first, None)
    assert slice_of(events, after=first, size=4).newer is None
