"""The recorder loses nothing and counts nothing twice: database away, disk full, killed, stopped, forked."""

import errno
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import DataError, OperationalError

from accounting.models import RequestRecord
from accounting.money.entry import Entry
from accounting.money.recorder import Recorder
from accounting.money.replay import MOST, decode
from accounting.money.slices import SLICE, sliced
from accounting.money.spool import FINAL
from accounting.money.store import store_records
from gateway_project.jobs import JobLog
from tests.accounting import spool_writer
from tests.harness import wait_until


class Shelf:
    """A database that can be away and can refuse entries; remembers what was stored, and wakes who waits for it."""

    def __init__(self) -> None:
        self.stored: list[str] = []
        self.entries: list[Entry] = []
        self.batches: list[int] = []
        self.fails = 0
        self.away = False
        self.refuses: Callable[[Entry], bool] = lambda entry: False
        self._changed = threading.Condition()

    def __call__(self, entries: Sequence[Entry]) -> None:
        with self._changed:
            try:
                if self.away:
                    self.fails += 1
                    raise OperationalError("the database is away")
                if any(map(self.refuses, entries)):
                    raise DataError("refused")
                self.batches.append(len(entries))
                self.entries += entries
                self.stored += [entry.request_id for entry in entries]
            finally:
                self._changed.notify_all()

    def wait_for(self, condition: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, 20)


def entry(name: str, **fields: Any) -> Entry:
    return Entry(request_id=name, started_at=1_800_000_000.0, outcome="served", **fields)


@contextmanager
def running(root: Path, store: Callable[[Sequence[Entry]], None], **options: Any) -> Iterator[Recorder]:
    recorder = Recorder(root, store=store, interval=0.01, **options)
    recorder.start()
    try:
        yield recorder
    finally:
        recorder.stop(5)


def is_full(recorder: Recorder) -> bool:
    return not recorder.accepting


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "spool"


class TestStoring:
    def test_records_reach_the_database_while_requests_go_on(self, root: Path) -> None:
        shelf = Shelf()
        with running(root, shelf) as recorder:
            recorder.finished(entry("a"))
            shelf.wait_for(lambda: shelf.stored == ["a"])
            recorder.finished(entry("b"))
            shelf.wait_for(lambda: shelf.stored == ["a", "b"])

    def test_the_process_can_tell_whether_records_are_stored(self, root: Path) -> None:
        shelf, jobs = Shelf(), JobLog()
        shelf.away = True
        with running(root, shelf, jobs=jobs) as recorder:
            recorder.finished(entry("a"))
            wait_until(lambda: jobs.told().get("records", {}).get("words") == "the database is away")
            assert recorder.spool_bytes > 0
            shelf.away = False
            wait_until(lambda: jobs.told()["records"]["ok"])

    def test_stopping_stores_the_rest_and_leaves_no_folder(self, root: Path) -> None:
        shelf = Shelf()
        with running(root, shelf, segment_bytes=10_000) as recorder:
            for number in range(2000):
                recorder.finished(entry(f"{number}"))
        assert shelf.stored == [f"{number}" for number in range(2000)]
        assert max(shelf.batches) <= MOST
        assert recorder.depth == 0
        assert list(root.iterdir()) == []
        assert not recorder.accepting

    def test_requests_cut_short_by_the_stop_are_recorded_as_such(self, root: Path) -> None:
        shelf = Shelf()
        with running(root, shelf) as recorder:
            recorder.opened(entry("a"))
        assert [(found.request_id, found.outcome) for found in shelf.entries] == [("a", "shut_down")]

    def test_segments_that_are_stored_go(self, root: Path) -> None:
        shelf = Shelf()
        with running(root, shelf, segment_bytes=1000) as recorder:
            recorder.opened(entry("long"))
            for number in range(500):
                recorder.finished(entry(f"{number}"))
            shelf.wait_for(lambda: len(shelf.stored) == 500)
            recorder.finished(entry("last"))
            shelf.wait_for(lambda: shelf.stored[-1] == "last")
            assert len(list(root.glob("*/*.jsonl"))) <= 2
            recorder.finished(entry("long"))

    def test_many_threads_may_record_at_once(self, root: Path) -> None:
        shelf = Shelf()

        def record(recorder: Recorder, who: int) -> None:
            for number in range(200):
                recorder.opened(entry(f"{who}/{number}"))
                recorder.finished(entry(f"{who}/{number}"))

        with running(root, shelf, segment_bytes=5000) as recorder:
            threads = [threading.Thread(target=record, args=(recorder, who)) for who in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(20)
        assert Counter(shelf.stored) == Counter(f"{who}/{number}" for who in range(4) for number in range(200))


class TestDatabaseAway:
    def test_records_wait_and_follow(self, root: Path, caplog: pytest.LogCaptureFixture) -> None:
        shelf = Shelf()
        with running(root, shelf) as recorder:
            recorder.finished(entry("before"))
            shelf.wait_for(lambda: shelf.stored == ["before"])
            shelf.away = True
            for number in range(100):
                recorder.finished(entry(f"{number}"))
            shelf.wait_for(lambda: shelf.fails >= 3)
            assert recorder.accepting
            assert recorder.depth == 100
            shelf.away = False
            shelf.wait_for(lambda: len(shelf.stored) == 101)
        assert shelf.stored == ["before", *(f"{number}" for number in range(100))]
        lines = [record.getMessage() for record in caplog.records if record.name == "accounting.money.recorder"]
        assert len(lines) == 2
        assert "cannot be stored" in lines[0]
        assert "stored again" in lines[1]

    def test_what_a_stop_could_not_store_is_adopted_by_the_next_start(self, root: Path) -> None:
        shelf = Shelf()
        shelf.away = True
        recorder = Recorder(root, store=shelf, interval=0.01)
        recorder.start()
        recorder.finished(entry("a"))
        recorder.stop(0.05)
        assert recorder.depth == 1
        shelf.away = False
        with running(root, shelf):
            shelf.wait_for(lambda: shelf.stored == ["a"])

    def test_an_adoption_goes_on_after_an_outage(self, root: Path) -> None:
        shelf = Shelf()
        shelf.away = True
        recorder = Recorder(root, store=shelf, interval=0.01)
        recorder.start()
        for number in range(1200):
            recorder.finished(entry(f"{number}"))
        recorder.stop(0)
        with running(root, shelf) as second:
            shelf.wait_for(lambda: shelf.fails >= 3)
            second.finished(entry("new"))
            shelf.away = False
            shelf.wait_for(lambda: len(shelf.stored) == 1201)
        assert Counter(shelf.stored).most_common(1)[0][1] == 1

    def test_an_entry_that_the_database_refuses_holds_up_no_other(self, root: Path) -> None:
        shelf = Shelf()
        shelf.refuses = lambda found: found.request_id in {"17", "18", "90"}
        with running(root, shelf) as recorder:
            for number in range(100):
                recorder.finished(entry(f"{number}"))
        assert set(shelf.stored) == {f"{number}" for number in range(100)} - {"17", "18", "90"}
        assert recorder.depth == 0
        kept = (root / "quarantine.jsonl").read_bytes().splitlines(keepends=True)
        assert [found.request_id for line in kept if (found := decode(line, FINAL))] == ["17", "18", "90"]

    def test_a_line_that_nobody_can_read_is_set_aside_once(self, root: Path) -> None:
        shelf = Shelf()
        shelf.away = True
        with running(root, shelf) as recorder:
            recorder.finished(entry("a"))
            with next(root.glob("*/*.jsonl")).open("ab") as file:
                file.write(b"nonsense\n")
            recorder.finished(entry("b"))
            shelf.wait_for(lambda: shelf.fails >= 3)
            shelf.away = False
            shelf.wait_for(lambda: shelf.stored == ["a", "b"])
        assert (root / "quarantine.jsonl").read_bytes() == b"nonsense\n"


class TestDiskFull:
    def test_records_go_straight_to_the_database_while_the_disk_refuses_them(self, root: Path) -> None:
        shelf = Shelf()

        def full(descriptor: int, data: bytes) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        with running(root, shelf, write=full) as recorder:
            recorder.opened(entry("a"))
            recorder.finished(entry("a"))
            shelf.wait_for(lambda: shelf.stored == ["a"])
            assert recorder.accepting

    def test_nothing_is_accepted_when_disk_and_memory_are_full_and_the_database_away(self, root: Path) -> None:
        shelf, disk_full = Shelf(), threading.Event()
        shelf.away = True
        disk_full.set()

        def write(descriptor: int, data: bytes) -> int:
            if disk_full.is_set():
                raise OSError(errno.ENOSPC, "No space left on device")
            return os.write(descriptor, data)

        with running(root, shelf, write=write, memory_limit=10) as recorder:
            for number in range(10):
                assert recorder.accepting
                recorder.finished(entry(f"{number}"))
            assert is_full(recorder)
            disk_full.clear()
            fails = shelf.fails
            shelf.wait_for(lambda: shelf.fails >= fails + 2)
            assert recorder.accepting
            shelf.away = False
        assert shelf.stored == [f"{number}" for number in range(10)]


class TestProcesses:
    def test_a_forked_child_does_not_write_into_its_parents_spool(self, root: Path) -> None:
        with running(root, Shelf()) as recorder:
            child = os.fork()
            if child == 0:
                try:
                    recorder.finished(entry("child"))
                except RuntimeError:
                    os._exit(7)
                os._exit(0)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7

    def test_a_child_that_outlives_its_parent_does_not_keep_its_lock(self, root: Path) -> None:
        shelf = Shelf()
        shelf.away = True
        recorder = Recorder(root, store=shelf, interval=0.01)
        recorder.start()
        recorder.finished(entry("a"))
        ready, release = os.pipe(), os.pipe()
        child = os.fork()
        if child == 0:
            os.write(ready[1], b"x")
            os.read(release[0], 1)
            os._exit(0)
        os.read(ready[0], 1)
        recorder.stop(0)
        shelf.away = False
        with running(root, shelf):
            shelf.wait_for(lambda: shelf.stored == ["a"])
        os.write(release[1], b"x")
        os.waitpid(child, 0)
        for descriptor in (*ready, *release):
            os.close(descriptor)

    def test_before_the_start_nothing_is_accepted(self, root: Path) -> None:
        recorder = Recorder(root, store=Shelf())
        assert not recorder.accepting
        with pytest.raises(RuntimeError):
            recorder.finished(entry("a"))
        recorder.stop(1)


@contextmanager
def writer(root: Path, address: str, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "DATABASE_URL": address, "GATEWAY_DATA_DIR": str(tmp_path / "data")}
    environment["DJANGO_SETTINGS_MODULE"] = "gateway_project.settings"
    command = [sys.executable, "-m", spool_writer.__name__, str(root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.server
def test_killed_in_the_middle_every_reported_request_has_one_record(
    any_database: str, root: Path, tmp_path: Path
) -> None:
    reported: list[str] = []
    with writer(root, any_database, tmp_path) as process:
        assert process.stdout is not None
        for line in process.stdout:
            reported.append(line.strip())
            if len(reported) == 3000:
                process.send_signal(signal.SIGKILL)
        assert process.wait(10) == -signal.SIGKILL
    assert len(list(root.iterdir())) == 1
    never_ended = {f"req_{number}" for number in range(99, int(reported[-1][4:]), 100)}
    stored_all = threading.Event()

    def store(entries: Sequence[Entry]) -> None:
        store_records(entries)
        if never_ended.union(reported) <= set(RequestRecord.objects.values_list("request_id", flat=True)):
            stored_all.set()

    with running(root, store):
        assert stored_all.wait(30)
    records = dict(RequestRecord.objects.values_list("request_id", "outcome"))
    assert {name for name in reported if records.get(name) != "served"} == set()
    cut = {name for name, outcome in records.items() if outcome == "shut_down"}
    assert never_ended <= cut
    assert len(cut - never_ended) <= 1
    assert RequestRecord.objects.count() - len(cut) - len(reported) in (0, 1)


def test_long_work_is_cut_into_slices_that_keep_its_order() -> None:
    slices = list(sliced(range(2 * SLICE + 1)))
    assert [len(each) for each in slices] == [SLICE, SLICE, 1]
    assert [number for each in slices for number in each] == list(range(2 * SLICE + 1))
    assert list(sliced(())) == []
