"""The spool keeps every finished request through rotation, a full disk, torn and foreign lines, and death."""

import errno
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accounting.money.entry import Attempt, Entry
from accounting.money.replay import MOST, Batch, SegmentReader, adopted, decode
from accounting.money.spool import FINAL, OPENING, Spool, encode, segments_of


class Disk:
    """Writes like `os.write`, until it is told to be full; half a line then still fits if `half` is set."""

    def __init__(self) -> None:
        self.full = self.half = False

    def set(self, *, full: bool, half: bool) -> None:
        self.full, self.half = full, half

    def write(self, descriptor: int, data: bytes) -> int:
        if not self.full:
            return os.write(descriptor, data)
        if self.half and len(data) > 1:
            return os.write(descriptor, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")


def entry(name: str, **fields: object) -> Entry:
    return Entry(request_id=name, started_at=1_800_000_000.0, **fields)  # type: ignore[arg-type]


def make(root: Path, disk: Disk | None = None, *, segment_bytes: int = 1 << 20, memory_limit: int = 100) -> Spool:
    write = (disk or Disk()).write
    return Spool(root, segment_bytes=segment_bytes, memory_limit=memory_limit, write=write)


def replayed(root: Path) -> list[Entry]:
    """What the next process adopts when this spool's process has died."""
    return [found for batch in adopted(root, root / "own") for found in batch.entries]


def names(entries: list[Entry]) -> list[str]:
    return [found.request_id for found in entries]


def is_full(spool: Spool) -> bool:
    return not spool.accepting


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "spool"


class TestAdoption:
    def test_finished_requests_come_back_as_they_were(self, root: Path) -> None:
        spool = make(root)
        full = entry(
            "a", team="plätform\n", attempts=[Attempt("main", "claude", 200, "", 12.5)], tokens_output=7, ttft_ms=1.5
        )
        spool.finished(full)
        spool.close()
        assert replayed(root) == [full]

    def test_a_request_that_was_begun_and_not_finished_comes_back_as_shut_down(self, root: Path) -> None:
        spool = make(root)
        for name in ("a", "b"):
            spool.opened(entry(name, team="platform"))
        spool.finished(entry("a", outcome="served"))
        spool.close()
        served, cut = replayed(root)
        assert (served.request_id, served.outcome) == ("a", "served")
        assert (cut.request_id, cut.outcome, cut.reason, cut.team) == ("b", "shut_down", "process_ended", "platform")
        assert cut.estimated

    def test_the_folder_goes_when_all_of_it_was_taken(self, root: Path) -> None:
        spool = make(root)
        spool.finished(entry("a"))
        spool.close()
        replayed(root)
        assert list(root.iterdir()) == []

    def test_a_folder_that_was_not_taken_whole_stays(self, root: Path) -> None:
        spool = make(root)
        for number in range(MOST + 1):
            spool.finished(entry(f"{number}"))
        spool.close()
        interrupted = adopted(root, root / "own")
        next(interrupted)
        interrupted.close()
        assert len(replayed(root)) == MOST + 1

    def test_the_folder_of_a_living_process_is_left_alone(self, root: Path) -> None:
        spool = make(root)
        spool.finished(entry("a"))
        assert replayed(root) == []
        assert spool.folder.exists()
        spool.close()

    def test_two_cannot_adopt_one_folder(self, root: Path) -> None:
        spool = make(root)
        spool.finished(entry("a"))
        spool.close()
        first = adopted(root, root / "own")
        assert names(list(next(first).entries)) == ["a"]
        assert replayed(root) == []
        first.close()


class TestLines:
    def test_a_torn_last_line_is_passed_over(self, root: Path) -> None:
        spool = make(root)
        spool.opened(entry("a"))
        spool.finished(entry("a", outcome="served"))
        spool.finished(entry("b"))
        path = segments_of(spool.folder)[0]
        os.truncate(path, path.stat().st_size - 5)
        spool.close()
        assert names(replayed(root)) == ["a"]

    @pytest.mark.parametrize(
        "foreign", [b"nonsense\n", b"\n", b"\xff\xfe\n", b'{"r":{"request_id":1}}\n', b'{"o":{}}\n', b'{"r":[]}\n']
    )
    def test_a_line_that_nobody_can_read_is_set_aside_and_stops_nothing(self, root: Path, foreign: bytes) -> None:
        spool = make(root)
        spool.finished(entry("a"))
        with segments_of(spool.folder)[0].open("ab") as file:
            file.write(foreign)
        spool.finished(entry("b"))
        spool.close()
        batches = list(adopted(root, root / "own"))
        assert names([found for batch in batches for found in batch.entries]) == ["a", "b"]
        assert [line for batch in batches for line in batch.unreadable] == [foreign]

    def test_fields_of_a_newer_version_are_passed_over(self) -> None:
        assert decode(b'{"r":{"request_id":"a","started_at":1.0,"invented":{}}}\n', FINAL) == Entry("a", 1.0)

    def test_half_a_surrogate_pair_does_not_stop_a_record(self) -> None:
        broken = entry("a", user_agent="x\ud800", attempts=[Attempt("p", "m", 0, "\udfff", 1.0)])
        read = decode(encode(FINAL, broken), FINAL)
        assert read is not None
        assert (read.user_agent, read.attempts[0].error) == ("x?", "?")

    @given(st.text(max_size=50), st.text(max_size=50))
    def test_any_text_is_one_line_and_comes_back(self, one: str, two: str) -> None:
        line = encode(OPENING, entry("a", session_id=one, error_message=two))
        assert line.count(b"\n") == 1
        assert decode(line, OPENING) == entry("a", session_id=one, error_message=two)

    def test_a_line_longer_than_one_read_is_read(self, root: Path) -> None:
        spool = make(root)
        spool.finished(entry("a", error_message="x" * (3 << 20)))
        spool.finished(entry("b"))
        spool.close()
        assert names(replayed(root)) == ["a", "b"]


class TestRotation:
    def test_old_segments_are_not_needed_for_unfinished_requests(self, root: Path) -> None:
        spool = make(root, segment_bytes=2000)
        spool.opened(entry("long"))
        for number in range(100):
            spool.finished(entry(f"{number}"))
        while spool.oldest()[1]:
            spool.remove_oldest()
        assert "long" not in names(replayed(root))
        spool.close()
        assert "long" in names(replayed(root))

    def test_many_unfinished_requests_do_not_make_a_segment_each(self, root: Path) -> None:
        spool = make(root, segment_bytes=500)
        for number in range(100):
            spool.opened(entry(f"{number}"))
        spool.close()
        assert sum(path.stat().st_size for path in segments_of(spool.folder)) < 100 * 100 * 60

    def test_reading_follows_a_growing_segment(self, root: Path) -> None:
        spool = make(root)
        reader = SegmentReader(spool.oldest()[0])
        seen: list[str] = []
        for number in range(3):
            spool.finished(entry(f"{number}"))
            batch = reader.read()
            assert reader.read() == batch
            reader.done(batch)
            seen += names(list(batch.entries))
        assert seen == ["0", "1", "2"]
        assert reader.read().entries == []
        reader.close()
        spool.close()


class TestFullDisk:
    def test_records_wait_in_memory_and_are_written_when_the_disk_is_back(self, root: Path) -> None:
        disk = Disk()
        spool = make(root, disk)
        spool.finished(entry("before"))
        disk.full = True
        spool.opened(entry("open"))
        spool.finished(entry("during"))
        assert spool.accepting
        disk.full = False
        spool.finished(entry("after"))
        spool.recover()
        assert spool.waiting(10) == []
        spool.close()
        assert names(replayed(root)) == ["before", "during", "after", "open"]

    def test_a_full_memory_accepts_no_more_and_keeps_what_was_served(self, root: Path) -> None:
        disk = Disk()
        spool = make(root, disk, memory_limit=3)
        for number in range(20):
            spool.opened(entry(f"{number}"))
        disk.full = True
        for number in range(3):
            assert spool.accepting
            spool.finished(entry(f"{number}"))
        assert is_full(spool)
        for number in range(3, 20):
            spool.finished(entry(f"{number}"))
        for number in range(100):
            spool.finished(entry(f"refused {number}"))
        assert [f"{number}" for number in range(20)] == names(
            [found for line in spool.waiting(1000) if (found := decode(line, FINAL))]
        )
        assert spool.dropped == 100
        disk.full = False
        spool.recover()
        assert spool.accepting
        spool.close()

    def test_half_a_line_is_taken_back(self, root: Path) -> None:
        disk = Disk()
        spool = make(root, disk)
        spool.finished(entry("a"))
        disk.full = disk.half = True
        spool.finished(entry("b"))
        disk.full = False
        spool.recover()
        spool.close()
        assert names(replayed(root)) == ["a", "b"]


Step = tuple[str, int]
steps = st.lists(
    st.tuples(st.sampled_from(["open", "finish", "fill", "half", "free", "recover"]), st.integers(0, 15)), max_size=60
)


def play(spool: Spool, disk: Disk, moves: list[Step]) -> tuple[set[str], set[str]]:
    """Names of the requests that finished, and of those that were opened and did not."""
    finished: set[str] = set()
    begun: set[str] = set()
    acts: dict[str, Callable[[], None]] = {
        "fill": lambda: disk.set(full=True, half=False),
        "half": lambda: disk.set(full=True, half=True),
        "free": lambda: disk.set(full=False, half=False),
        "recover": spool.recover,
    }
    for act, number in moves:
        name = f"req_{number}"
        if act in acts:
            acts[act]()
        elif act == "open" and name not in begun | finished:
            spool.opened(entry(name))
            begun.add(name)
        elif act == "finish" and name not in finished:
            spool.finished(entry(name, outcome="served"))
            finished.add(name)
    return finished, begun - finished


@settings(max_examples=150, deadline=None)
@given(moves=steps, segment_bytes=st.integers(1, 1000))
def test_whatever_happens_before_death_each_request_comes_back_once(
    tmp_path_factory: pytest.TempPathFactory, moves: list[Step], segment_bytes: int
) -> None:
    root, disk = tmp_path_factory.mktemp("spool"), Disk()
    spool = make(root, disk, segment_bytes=segment_bytes)
    finished, unfinished = play(spool, disk, moves)
    disk.full = disk.half = False
    spool.recover()
    spool.close()
    back = replayed(root)
    assert Counter(names(back)) == Counter(finished | unfinished)
    assert {found.request_id for found in back if found.outcome == "shut_down"} == unfinished


def test_batches_are_bounded(root: Path) -> None:
    spool = make(root)
    for number in range(3 * MOST):
        spool.finished(entry(f"{number}"))
    spool.close()
    batches: Iterator[Batch] = adopted(root, root / "own")
    assert [len(batch) for batch in batches] == [MOST, MOST, MOST]
