"""Every process says which version it serves, applies what is due, and is none the worse when the database is away."""

import logging
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from routing.models import ConfigVersion, ProcessReport
from routing.versions.duties import Duties
from routing.versions.fleet import Reporter, Serving, read_fleet
from tests.versions.conftest import make, set_cooldown

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, seconds: float) -> datetime:
        self.now += timedelta(seconds=seconds)
        return self.now


@pytest.mark.django_db
class TestReports:
    def test_a_process_says_at_once_what_it_serves_and_then_every_five_seconds(self) -> None:
        clock = Clock()
        reporter = Reporter("production", NOW)
        reporter.report(Serving(41, 7, 2), clock())
        row = ProcessReport.objects.get()
        assert (row.process, row.version, row.directory, row.active) == (reporter.name, 41, 7, 2)
        reporter.report(Serving(41, 7, 9), clock.pass_by(4.9))
        assert ProcessReport.objects.get().active == 2
        reporter.report(Serving(41, 7, 9), clock.pass_by(0.1))
        assert (ProcessReport.objects.get().active, ProcessReport.objects.get().seen_at) == (9, clock())
        reporter.report(Serving(42, 7, 0), clock.pass_by(0.3))
        assert ProcessReport.objects.get().version == 42
        reporter.report(Serving(42, 8, 0), clock.pass_by(0.3))
        assert ProcessReport.objects.get().directory == 8

    def test_two_processes_have_two_rows_and_a_silent_one_is_dropped(self) -> None:
        clock = Clock()
        one, two = Reporter("production", NOW), Reporter("production", NOW)
        one.report(Serving(1, 1, 0), clock())
        two.report(Serving(1, 1, 0), clock())
        assert ProcessReport.objects.count() == 2
        assert len(read_fleet(clock.pass_by(30)).processes) == 2
        two.report(Serving(1, 1, 0), clock.pass_by(0.5))
        assert [row.process for row in ProcessReport.objects.all()] == [two.name]

    def test_a_row_that_was_dropped_comes_back(self) -> None:
        reporter = Reporter("production", NOW)
        reporter.report(Serving(1, 1, 0), NOW)
        ProcessReport.objects.all().delete()
        reporter.report(Serving(1, 1, 0), NOW + timedelta(seconds=5))
        assert ProcessReport.objects.count() == 1

    def test_a_process_that_ends_in_order_leaves_no_row(self) -> None:
        reporter = Reporter("production", NOW)
        reporter.report(Serving(1, 1, 0), NOW)
        reporter.leave()
        assert not ProcessReport.objects.exists()

    @pytest.mark.parametrize(
        ("versions", "sentence"),
        [
            ((), "No gateway process is running."),
            ((2,), "1 process, on version 2"),
            ((2, 2, 2), "3 processes, all on version 2"),
            ((2, 1, 2), "1 of 3 still on version 1; the newest is 2"),
            ((0, 1, 1), "1 of 3 still on version 0; the newest is 2"),
        ],
    )
    def test_the_slowest_is_named(self, versions: tuple[int, ...], sentence: str, configured: int) -> None:
        assert make(set_cooldown(77)) == 2
        for number in versions:
            Reporter("production", NOW).report(Serving(number, 1, 0), NOW)
        assert read_fleet(NOW).sentence == sentence


@pytest.mark.django_db
def test_the_first_round_keeps_what_was_there_before_versions(configured: int) -> None:
    ConfigVersion.objects.all().delete()
    Duties("production", Clock()).run(Serving(configured, 1, 0))
    assert ConfigVersion.objects.get().number == configured


@pytest.mark.django_db
def test_a_process_that_has_loaded_nothing_says_nothing() -> None:
    Duties("production", Clock()).run(Serving(-1, -1, 0))
    assert not ProcessReport.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_without_the_table_nothing_breaks_and_one_line_says_so(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    duties = Duties("production", clock)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE routing_processreport RENAME TO elsewhere")
        with caplog.at_level(logging.WARNING):
            for _ in range(3):
                duties.run(Serving(1, 1, 0))
                clock.pass_by(6)
            duties.leave()
        cursor.execute("ALTER TABLE elsewhere RENAME TO routing_processreport")
    assert len([line for line in caplog.records if "cannot be written" in line.getMessage()]) == 1
    duties.run(Serving(1, 1, 0))
    assert ProcessReport.objects.count() == 1
