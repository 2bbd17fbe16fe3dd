"""The page of targets: what processes say, put together; the orders that administrators give, and nobody else."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounting.models import AuditEvent, Revision
from routing.health import Health
from routing.models import Provider, RouteTarget, TargetControl, TargetStatus
from routing.target_status import HEARTBEAT, SILENT, StatusWriter, read_targets
from routing.targets import CredentialConf, ProviderConf, RouteConf, TargetConf
from tests.pages.conftest import World, signed_in

MODEL = "claude-sonnet-4-5"
TARGET = TargetConf(ProviderConf(1, "main", "anthropic", "https://api.example.com", CredentialConf("none")), MODEL)
ROUTE = RouteConf(name="sonnet", breaker_failures=3)


class Clock:
    """Both clocks of a process, which a test moves."""

    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.at - 1000.0)


def said(process: str = "host:1", *, good: int = 0, bad: int = 0) -> tuple[StatusWriter, Health, Clock]:
    """A process that has called the target so often and told."""
    health, clock = Health(), Clock()
    for number in range(good):
        health.succeeded(TARGET, 0.1 * (number + 1), clock.at)
    for _ in range(bad):
        health.failed(TARGET, 503, clock.at, route=ROUTE, words="503 Overloaded in [removed]")
    writer = StatusWriter(health, clock=clock, now=clock.now, process=process)
    writer.write()
    return writer, health, clock


def page(client: Client, query: str = "") -> str:
    answer = client.get(reverse("admin:routing_targetcontrol_changelist") + query)
    assert answer.status_code == 200
    return answer.content.decode()


def order(client: Client, world: World, word: str, **fields: str) -> int:
    data = {"provider": str(world.provider.pk), "model": MODEL, "order": word, **fields}
    return int(client.post(reverse("admin:routing_targetcontrol_order"), data).status_code)


def control() -> TargetControl:
    return TargetControl.objects.get(model=MODEL)


@pytest.mark.usefixtures("db")
class TestWhatProcessesSay:
    def test_two_processes_are_put_together_and_the_worst_state_counts(self, world: World) -> None:
        said("host:1", good=6)
        said("host:2", good=1, bad=3)
        (target,) = read_targets(datetime.now(UTC))
        assert (target.state, target.tone, target.reporting) == ("open", "bad", 2)
        assert target.processes == ("host:2",)
        assert (target.calls, target.errors) == (10, 3)
        assert target.error_share == 30.0
        assert target.p50_ms == pytest.approx(300, abs=101)
        assert target.p95_ms == 600.0
        assert target.words == "503 Overloaded in [removed]"
        assert target.since is not None
        assert target.until is not None
        assert 25 < (target.until - target.since).total_seconds() <= 31
        assert target.routes == ((world.route.pk, "sonnet"),)

    def test_a_silent_process_is_not_believed(self, world: World) -> None:
        said(bad=3)
        TargetStatus.objects.update(seen_at=datetime.now(UTC) - SILENT - timedelta(seconds=1))
        (target,) = read_targets(datetime.now(UTC))
        assert (target.state, target.reporting) == ("no calls yet", 0)

    def test_only_changes_are_written_and_at_most_once_a_second(self, world: World) -> None:
        writer, health, clock = said(good=1)
        first = TargetStatus.objects.get()
        health.started(TARGET, clock.at)
        clock.at += 0.5
        writer.write()
        assert TargetStatus.objects.get().figures == first.figures
        clock.at += 0.6
        writer.write()
        second = TargetStatus.objects.get()
        assert second.figures["in_flight"] == 1
        clock.at += 2
        writer.write()
        assert TargetStatus.objects.get().seen_at == second.seen_at
        clock.at += HEARTBEAT
        writer.write()
        assert TargetStatus.objects.get().seen_at > second.seen_at

    def test_rows_of_processes_that_are_gone_are_removed(self, world: World) -> None:
        gone, _, _ = said("host:old", good=1)
        said("host:stopped", good=1)[0].leave()
        TargetStatus.objects.filter(process=gone.process).update(seen_at=datetime.now(UTC) - 2 * SILENT)
        said("host:new", good=1)
        assert [row.process for row in TargetStatus.objects.all()] == ["host:new"]


def test_the_page_shows_state_figures_words_and_routes(world: World, console: Client) -> None:
    said(good=2, bad=3)
    text = page(console)
    for part in (">open<", "60.0 %", "3 of 5", "503 Overloaded in [removed]", "1 of 1 process", ">sonnet<", "Reopen"):
        assert part in text, part
    assert "console/live.js" in text


def test_the_live_part_comes_alone(world: World, console: Client) -> None:
    said(good=1)
    text = page(console, "?live=1")
    assert "closed" in text
    assert "<html" not in text
    assert "No target yet" in page(console, "?live=1&provider=other")


def test_auditors_see_and_do_not_order(world: World) -> None:
    said(bad=3)
    auditor = signed_in(world.auditor)
    assert "Reopen" not in page(auditor)
    assert order(auditor, world, "drain") == 403
    assert order(signed_in(world.stranger), world, "drain") in (302, 403)
    assert not TargetControl.objects.exists()


def test_an_order_is_audited_and_every_process_will_notice(world: World, console: Client) -> None:
    revision = Revision.objects.get(name=Revision.ROUTING).number
    assert order(console, world, "drain") == 302
    assert control().drained
    assert Revision.objects.get(name=Revision.ROUTING).number == revision + 1
    event = AuditEvent.objects.order_by("-id")[0]
    assert (event.actor, event.action, event.object_type) == ("ada@example.org", "drained", "targetcontrol")
    assert ">drained<" in page(console)
    order(console, world, "undo")
    assert not control().drained
    assert AuditEvent.objects.order_by("-id")[0].action == "resumed"


def test_rest_and_reopen(world: World, console: Client) -> None:
    order(console, world, "rest", minutes="15")
    until = control().rest_until
    assert until is not None
    assert timedelta(minutes=14) < until - datetime.now(UTC) <= timedelta(minutes=15)
    assert ">rests<" in page(console)
    order(console, world, "reopen")
    assert control().rest_until is None
    assert control().reopened_at is not None


@pytest.mark.parametrize(
    ("word", "fields", "sentence"),
    [
        ("rest", {"minutes": "0"}, "A rest lasts from 1"),
        ("rest", {"minutes": "soon"}, "A rest lasts from 1"),
        ("rest", {"minutes": "99999999"}, "A rest lasts from 1"),
        ("explode", {}, "Choose what the target is to do"),
        ("drain", {"model": "nobody-sends-here"}, "No route sends nobody-sends-here to main."),
        ("drain", {"model": ""}, "No route sends"),
    ],
)
def test_an_order_that_makes_no_sense_is_refused(
    word: str, fields: dict[str, str], sentence: str, world: World, console: Client
) -> None:
    order(console, world, word, **fields)
    assert sentence in page(console)
    assert not TargetControl.objects.exists()


@pytest.mark.parametrize("provider", ["", "x", "-1", "999999", "١"])
def test_an_order_to_no_provider_does_nothing(provider: str, world: World, console: Client) -> None:
    assert order(console, world, "drain", provider=provider) == 302
    assert not TargetControl.objects.exists()


def test_an_order_leads_back_to_our_own_pages_only(world: World, console: Client) -> None:
    data = {"provider": str(world.provider.pk), "model": MODEL, "order": "drain", "next": "https://evil.example/"}
    answer = console.post(reverse("admin:routing_targetcontrol_order"), data)
    assert answer.headers["location"] == reverse("admin:routing_targetcontrol_changelist")


def test_open_breakers_are_a_problem_on_the_overview_and_stand_on_the_providers_page(
    world: World, console: Client
) -> None:
    said(bad=3)
    assert f"main: {MODEL} fails, its breaker is open." in console.get("/admin/").content.decode()
    provider_page = console.get(reverse("admin:routing_provider_change", args=[world.provider.pk])).content.decode()
    assert ">open<" in provider_page
    assert "503 Overloaded" in provider_page
    order(console, world, "drain")
    assert "by order of an administrator" in console.get("/admin/").content.decode()


def test_the_page_takes_as_many_queries_for_many_targets(world: World, console: Client) -> None:
    def count() -> int:
        with CaptureQueriesContext(connection) as queries:
            page(console)
        return len(queries)

    before = count()
    for number in range(20):
        RouteTarget.objects.create(route=world.route, provider=world.provider, model=f"m{number}")
        TargetControl.objects.create(provider=world.provider, model=f"m{number}", drained=True)
    assert count() == before


def test_a_deleted_provider_takes_its_orders_along(world: World, console: Client) -> None:
    order(console, world, "drain")
    RouteTarget.objects.all().delete()
    console.post(reverse("admin:routing_provider_delete", args=[world.provider.pk]), {"post": "yes"})
    assert not Provider.objects.exists()
    assert not TargetControl.objects.exists()
