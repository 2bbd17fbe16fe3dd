"""The overview answers whether everything is all right: lights, today against yesterday, jobs of all processes, what waits."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from accounting.audit.changes import Actor, changing
from accounting.models import Budget, BudgetRequest, LedgerEntry, OrganizationSettings, Price, RequestRecord
from accounting.models.prices import FAST_NAMES
from accounting.money.price_book import RATE_NAMES
from accounting.money.price_store import Unpriced, store_unpriced
from gateway_project.console.overview import read_overview
from gateway_project.console.today import read_today
from gateway_project.jobs import JOBS, JobLog
from routing.models import ProcessReport
from routing.versions.fleet import Reporter, Serving
from tests.pages.conftest import World, make_line, make_record, signed_in
from tests.pages.page_form import fields_of
from tests.pages.test_targets_page import said


def words() -> dict[str, tuple[str, str]]:
    return {light.name: (light.word, light.tone) for light in read_overview(timezone.now()).lights}


def a_process(jobs: dict[str, Any] | None = None, **values: Any) -> ProcessReport:
    now = timezone.now()
    fixed = {"host": "gate-1", "pid": 7, "server": "production", "version": 1, "directory": 1, "seen_at": now}
    row: ProcessReport = ProcessReport.objects.create(
        **{"process": f"p{ProcessReport.objects.count()}", "started_at": now, **fixed, "jobs": jobs or {}, **values}
    )
    return row


def spent(at: datetime, dollars: str, number: int) -> None:
    make_record(request_id=f"req_t{number}", started_at=at, cost_usd=Decimal(dollars))
    make_line(request_id=f"req_t{number}", at=at, cost_usd=Decimal(dollars))


def test_today_is_compared_with_yesterday_up_to_the_same_time(world: World) -> None:
    RequestRecord.objects.all().delete()
    LedgerEntry.objects.all().delete()
    OrganizationSettings.objects.create(timezone="Europe/Berlin")
    now = datetime(2026, 3, 12, 10, 30, tzinfo=UTC)  # 11:30 in Berlin
    moments = {
        "2026-03-11T23:30": "1", "2026-03-12T10:10": "2",  # today, from 00:30 of Berlin on
        "2026-03-11T10:20": "4", "2026-03-10T23:10": "8",  # yesterday, before 11:30
        "2026-03-11T10:40": "16", "2026-03-10T22:50": "32",  # yesterday later, and the day before
    }  # fmt: skip
    for number, (text, dollars) in enumerate(moments.items()):
        spent(datetime.fromisoformat(text).replace(tzinfo=UTC), dollars, number)
    call_command("rebuild_rollups")
    today = read_today(now)
    assert (today.now.spent, today.now.requests) == (Decimal(3), 2)
    assert (today.yesterday.spent, today.yesterday.requests) == (Decimal(12), 2)
    assert today.zone == "Europe/Berlin"


def test_lights_are_calm_while_nothing_is_known(world: World) -> None:
    assert words()["Processes"] == ("none is running", "calm")
    assert words()["Jobs"] == ("no process", "calm")
    assert words()["Targets"] == ("no calls yet", "calm")


def test_a_failing_target_is_seen_at_once(world: World) -> None:
    said(bad=3)
    assert words()["Targets"] == ("1 of 1 failing", "bad")


def test_the_queue_of_all_processes_is_added_up(world: World, console: Client) -> None:
    a_process(queue=1500, spool_bytes=1024)
    a_process(queue=900, spool_bytes=1024)
    assert words()["Records"] == ("2,400 wait", "warn")
    page = console.get("/admin/").content.decode()
    assert "<b>2,400</b>" in page


def test_jobs_are_put_together_over_processes(world: World, console: Client) -> None:
    now = timezone.now().timestamp()
    fine = {"at": now - 2, "ok": True, "ok_at": now - 2, "words": ""}
    every = {job.name: fine for job in JOBS}
    a_process(every)
    assert words()["Jobs"] == ("all fine", "good")
    late = {**fine, "at": now - 3600, "ok_at": now - 3600}
    failed = {"at": now - 1, "ok": False, "ok_at": now - 60, "words": "the disk is full"}
    ProcessReport.objects.all().delete()
    a_process({**every, "limits": late, "records": failed}, host="gate-2")
    overview = read_overview(timezone.now())
    jobs = {job.name: job for job in overview.running.jobs}
    assert (jobs["limits"].state, jobs["limits"].tone) == ("late", "warn")
    assert (jobs["records"].state, jobs["records"].words, jobs["records"].where) == (
        "failed", "the disk is full", ("gate-2 7",),
    )  # fmt: skip
    assert words()["Jobs"] == ("2 of 12 want a look", "bad")
    assert [(problem.serious, "job" in problem.text) for problem in overview.problems] == [(True, True), (False, True)]
    page = console.get("/admin/").content.decode()
    assert "the disk is full" in page
    assert "in gate-2 7" in page


def test_a_job_that_one_of_several_processes_does_is_not_late(world: World) -> None:
    now = timezone.now().timestamp()
    fresh, old = ({"at": at, "ok": True, "ok_at": at, "words": ""} for at in (now - 30, now - 4000))
    a_process({"limits": old}, started_at=timezone.now() - timedelta(hours=2))
    a_process({"limits": fresh})
    jobs = {job.name: job.state for job in read_overview(timezone.now()).running.jobs}
    assert jobs["limits"] == "fine"
    assert jobs["alerts"] == "has not run", "two hours would have been enough"


def test_a_process_tells_how_its_jobs_went(world: World) -> None:
    log = JobLog(clock=lambda: 1000.0)
    log.done("limits")
    with pytest.raises(ZeroDivisionError), log.running("limits"):
        raise ZeroDivisionError("x" * 1000)
    Reporter("production", timezone.now()).report(Serving(1, 1, 0, 12, 3456, log.told()), timezone.now())
    row = ProcessReport.objects.get()
    assert (row.queue, row.spool_bytes) == (12, 3456)
    assert row.jobs["limits"]["ok"] is False
    assert row.jobs["limits"]["ok_at"] == 1000.0
    assert len(row.jobs["limits"]["words"]) == 300


def test_budgets_near_their_end_and_requests_for_more_are_named(world: World) -> None:
    assert not read_overview(timezone.now()).problems
    now = timezone.now()
    RequestRecord.objects.filter(pk=world.record.pk).update(cost_usd=Decimal(450), started_at=now)
    LedgerEntry.objects.filter(pk=world.line.pk).update(cost_usd=Decimal(450), at=now, team="platform")
    call_command("rebuild_rollups")
    with changing(Actor("sam@example.org", "user")) as change:
        wish = BudgetRequest(budget=world.budget, amount=Decimal(5), until=now + timedelta(days=3), reason="more")
        wish.asked_by = "sam@example.org"
        change.save(wish)
    texts = [problem.text for problem in read_overview(timezone.now()).problems]
    assert texts == [
        "sam@example.org asked for more budget and waits for an answer.",
        "Budget team platform: month: 90 % is used, $450.00 of $500.00.",
    ]
    Budget.objects.update(enabled=False)
    assert len(read_overview(timezone.now()).problems) == 1


def test_a_model_without_a_price_is_one_click_from_its_price(world: World, console: Client) -> None:
    store_unpriced({("main", "nobody-knows-it", False): Unpriced(3, timezone.now().timestamp())})
    page = console.get("/admin/").content.decode()
    link = "/admin/accounting/price/add/?provider=main&amp;model=nobody-knows-it"
    assert link in page
    form = console.get(link.replace("&amp;", "&")).content.decode()
    assert 'value="nobody-knows-it"' in form
    assert 'value="main"' in form
    assert link not in signed_in(world.auditor).get("/admin/").content.decode()


def test_where_only_the_fast_mode_has_no_price_the_form_has_the_others(world: World, console: Client) -> None:
    rates = {name: Decimal(number) for number, name in enumerate(RATE_NAMES, 3)}
    Price.objects.create(provider="main", model="quick", valid_from=datetime(2026, 1, 1, tzinfo=UTC), **rates)
    form = fields_of(console.get("/admin/accounting/price/add/?provider=main&model=quick").content, "price_form")
    assert [Decimal(form[name]) for name in RATE_NAMES] == list(rates.values())
    assert form["fast_input"] == ""
    saved = {**form, "source": "the list", **dict.fromkeys(FAST_NAMES, "9")}
    assert console.post("/admin/accounting/price/add/", saved).status_code == 302
    row = Price.objects.order_by("-valid_from").first()
    assert row is not None
    assert (row.fast_input, row.input, row.model) == (Decimal(9), Decimal(3), "quick")
    unknown = fields_of(console.get("/admin/accounting/price/add/?provider=main&model=other").content, "price_form")
    assert [unknown[name] for name in RATE_NAMES] == [""] * 5, "nobody knows them: nothing is suggested"
