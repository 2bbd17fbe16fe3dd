"""The recorder: what a finished request hands over is on local disk when the call returns, and in the database soon after.

A thread follows the spool's own files and stores batches; no queue stands between, so there is nothing to lose. It must
never stop for a fault of the database: it keeps its place and tries again.
"""

import os
import threading
import time
import weakref
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

from django.db import DataError, IntegrityError, connections

from accounting.money.entry import Entry
from accounting.money.replay import MOST, Batch, Quarantine, SegmentReader, adopted, as_shut_down, decode
from accounting.money.spool import FINAL, OPENING, Spool, Write, encode, remove_folder
from gateway_project.jobs import JobLog
from gateway_project.telemetry import logger

LONGEST_PAUSE = 2.0  # seconds between two tries while the database is away
ADOPT_EVERY = 10.0  # seconds between two looks for folders of dead processes
_REFUSALS = (DataError, IntegrityError, ValueError, TypeError, OverflowError)
Store = Callable[[Sequence[Entry]], None]
StoreLines = Callable[[Sequence[bytes]], bool]
log = logger(__name__)


class Recorder:
    """One per process. `store` writes a batch, at once or not at all, and passes over what it has stored before; `store_lines`
    does the same from lines of the spool, or returns False."""

    def __init__(
        self,
        folder: Path,
        *,
        store: Store,
        store_lines: StoreLines | None = None,
        interval: float = 0.2,
        segment_bytes: int = 8 << 20,
        memory_limit: int = 10_000,
        write: Write = os.write,
        jobs: JobLog | None = None,
    ) -> None:
        self._jobs = jobs or JobLog()
        self._root = folder
        self._store = store
        self._store_lines = store_lines
        self._interval = interval
        self._limits = (segment_bytes, memory_limit)
        self._write = write
        self._spool: Spool | None = None
        self._reader: SegmentReader | None = None
        self._quarantine = Quarantine(folder)
        self._adopting: Generator[Batch, None, None] | None = None
        self._pending: Batch | None = None
        self._next_look = 0.0
        self._stored = 0
        self._away = False
        self._stopping = threading.Event()
        self._looked = threading.Event()
        self._deadline = 0.0
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)

    def start(self) -> None:
        """Makes this process's folder and begins to store. Raises OSError if the folder cannot be made."""
        segment_bytes, memory_limit = self._limits
        self._spool = Spool(self._root, segment_bytes=segment_bytes, memory_limit=memory_limit, write=self._write)
        _forget_after_fork(self)
        self._thread.start()

    def opened(self, entry: Entry) -> None:
        """A request is about to go upstream: should this process die, its record is made from this entry."""
        self._running().opened(entry)

    def finished(self, entry: Entry) -> None:
        """A request is over. When this returns its record is on local disk (or, if that is full, in memory)."""
        self._running().finished(entry)

    @property
    def accepting(self) -> bool:
        """Whether a new request could be recorded; while not, none may be served."""
        return self._spool is not None and not self._stopping.is_set() and self._spool.accepting

    @property
    def depth(self) -> int:
        """How many finished requests are not in the database yet."""
        return self._spool.written - self._stored if self._spool is not None else 0

    @property
    def spool_bytes(self) -> int:
        """How large this process's spool is on disk, with what is stored and not tidied away yet."""
        return self._spool.size_on_disk if self._spool is not None else 0

    def wait_for_the_dead(self, timeout: float) -> None:
        """Returns when what dead processes had left at the start is stored, cannot be stored now, or the time is over."""
        self._looked.wait(timeout)

    def stop(self, timeout: float) -> None:
        """Stores what is left, for at most `timeout` seconds; what is not stored by then is adopted by the next start.

        Requests that are still unfinished are recorded as shut down.
        """
        if self._spool is None:
            return
        self._deadline = time.monotonic() + timeout
        self._stopping.set()
        self._thread.join(timeout + LONGEST_PAUSE)

    def forget(self) -> None:
        """Lets go of the spool in a forked child, which starts a recorder of its own."""
        if self._spool is not None:
            self._spool.close()
            self._spool = None

    def _running(self) -> Spool:
        if self._spool is None:
            raise RuntimeError("the recorder of this process is not running")
        return self._spool

    # -- the thread ------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        spool, pause = self._running(), 0.0
        try:
            while not self._stopping.wait(pause):
                pause = self._turn(spool, pause)
            self._finish(spool)
        finally:
            connections.close_all()

    def _turn(self, spool: Spool, pause: float) -> float:
        """Stores what there is; returns the seconds until the next turn."""
        if not self._attempt(lambda: self._flush(spool)):
            return self._longer(pause)
        if self._attempt(lambda: self._adopt_some(spool)):
            return 0.0 if self._pending is not None else self._interval
        return self._longer(pause)

    def _longer(self, pause: float) -> float:
        return min(LONGEST_PAUSE, max(self._interval, pause * 2))

    def _attempt(self, action: Callable[[], None]) -> bool:
        try:
            action()
        except Exception as error:  # noqa: BLE001  whatever the database or the disk does, the thread must outlive it
            self._jobs.failed("records", error)
            if not self._away:
                log.error(
                    "records cannot be stored; they stay in the spool", error=type(error).__name__, text=str(error)
                )
            self._away = True
            self._looked.set()
            return False
        self._jobs.done("records")
        return True

    def _flush(self, spool: Spool) -> None:
        spool.recover()
        while self._flush_segment(spool):
            pass
        while waiting := spool.waiting(MOST):  # the disk refuses them still: straight into the database
            self._deliver(Batch(waiting))
            spool.forget_waiting(len(waiting))
            self._stored += len(waiting)

    def _flush_segment(self, spool: Spool) -> bool:
        """Stores the next lines of the oldest segment, or removes it when it is done; False when we have caught up."""
        path, closed = spool.oldest()
        if self._reader is None or self._reader.path != path:
            self._reader = SegmentReader(path)
        batch = self._reader.read()
        self._deliver(batch)
        self._reader.done(batch)
        self._stored += len(batch)
        if batch.more or not closed:
            return batch.more
        self._reader.close()
        self._reader = None
        spool.remove_oldest()
        return True

    def _deliver(self, batch: Batch) -> None:
        """Stores a batch, or raises and changes nothing; what can never be stored goes into quarantine."""
        if not len(batch):
            return
        at_once = bool(batch.lines) and self._store_lines is not None and self._store_lines(batch.lines)
        entries, unreadable = (batch.made, batch.strange) if at_once else batch.read
        refused = self._store_or_split(entries) if entries else []
        if self._away:
            log.info("records are being stored again", depth=self.depth)
            self._away = False
        for entry, why in refused:
            self._quarantine.keep(encode(FINAL, entry), why, entry.request_id)
        for line in unreadable:
            self._quarantine.keep(line, "unreadable")

    def _store_or_split(self, entries: Sequence[Entry]) -> list[tuple[Entry, str]]:
        """Stores a batch; if the database refuses it, its halves, down to the entries that are to blame: those return."""
        try:
            self._store(entries)
        except _REFUSALS as error:
            if len(entries) == 1:
                return [(entries[0], type(error).__name__)]
            middle = len(entries) // 2
            return self._store_or_split(entries[:middle]) + self._store_or_split(entries[middle:])
        return []

    def _adopt_some(self, spool: Spool) -> None:
        """Stores one batch of a dead process: our own records never wait for a long backlog."""
        if self._pending is None:
            if time.monotonic() < self._next_look:
                return
            self._adopting = adopted(self._root, spool.folder)
            self._pending = next(self._adopting, None)
        if self._pending is not None and self._adopting is not None:
            self._deliver(self._pending)
            self._pending = next(self._adopting, None)
        if self._pending is None:
            self._adopting, self._next_look = None, time.monotonic() + ADOPT_EVERY
            self._looked.set()

    def _finish(self, spool: Spool) -> None:
        """The last flush, tried until the deadline; the folder goes if all is stored, else the next start adopts it."""
        if self._adopting is not None:
            self._adopting.close()
        for line in spool.unfinished():
            if (opening := decode(line, OPENING)) is not None:
                spool.finished(as_shut_down(opening))
        pause = self._interval
        while not (stored := self._attempt(lambda: self._flush(spool))) and time.monotonic() < self._deadline:
            time.sleep(min(pause, max(0.0, self._deadline - time.monotonic())))
            pause = self._longer(pause)
        if self._reader is not None:
            self._reader.close()
        if stored:
            remove_folder(spool.folder)
        spool.close()


def _forget_after_fork(recorder: Recorder) -> None:
    """A forked child must neither write into its parent's spool nor keep its lock."""
    reference = weakref.ref(recorder)

    def forget() -> None:
        if (copied := reference()) is not None:
            copied.forget()

    os.register_at_fork(after_in_child=forget)
