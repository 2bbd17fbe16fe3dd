"""Reading the spool back: lines of a segment from where the last batch ended, and the folders of dead processes."""

import fcntl
import os
import secrets
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path

import msgspec

from accounting.money.entry import Entry, Head
from accounting.money.slices import pause, sliced
from accounting.money.spool import END, FINAL, OPENING, remove_folder, segments_of, take_lock
from gateway_project.telemetry import logger

MOST = 2000  # finals in one batch
BATCH_BYTES = 1 << 20  # of lines after which a batch is closed
_CHUNK = 128 << 10  # bytes that are read at once; while they are taken apart, the event loop waits
_TAKEN = ".replay"
log = logger(__name__)
_decoder = msgspec.json.Decoder(Entry)
_head = msgspec.json.Decoder(Head)


class Quarantine:
    """A file beside the spool's folders for lines that nobody can read and entries that the database refuses.

    `taken` gives them back: the file goes aside under another name, so that processes can go on adding. The lock on the file
    is what keeps a line from being added to one that was just read.
    """

    def __init__(self, root: Path) -> None:
        self.path = root / "quarantine.jsonl"

    def keep(self, line: bytes, why: str, request_id: str = "") -> None:
        """Raises OSError if it cannot be kept; then the line stays where it is."""
        descriptor = self._locked()
        try:
            os.write(descriptor, line.rstrip(b"\n") + b"\n")
        finally:
            os.close(descriptor)
        log.error("a line of the spool was put into quarantine", why=why, request_id=request_id, file=str(self.path))

    def _locked(self) -> int:
        """The file, opened to add to it and locked; a new one if it went aside in between."""
        while True:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            try:
                if os.fstat(descriptor).st_ino == os.stat(self.path).st_ino:
                    return descriptor
            except FileNotFoundError:
                pass
            os.close(descriptor)

    def lines(self) -> Iterator[bytes]:
        """What is in quarantine now, what an interrupted replay had taken included."""
        for path in [*self._aside(), self.path]:
            if path.exists():
                with path.open("rb") as file:
                    yield from file

    def taken(self) -> Iterator[bytes]:
        """The same, taken out: each file goes when all of its lines were asked for. Keep again what is to stay."""
        if self.path.exists():
            descriptor = self._locked()
            try:
                self.path.rename(self.path.with_name(f"quarantine-{secrets.token_hex(4)}{_TAKEN}"))
            finally:
                os.close(descriptor)
        for path in self._aside():
            with path.open("rb") as file:
                yield from file
            path.unlink()

    def _aside(self) -> list[Path]:
        return sorted(self.path.parent.glob(f"quarantine-*{_TAKEN}"))


@dataclass(frozen=True)
class Batch:
    """Finished requests that stand before `end` in a segment, as `lines`; `more` follow. `strange` are lines of no kind that is
    known. `made` are requests that have no line of their own: their process did not live to write one."""

    lines: Sequence[bytes] = ()
    strange: Sequence[bytes] = ()
    openings: Sequence[bytes] = ()
    end: int = 0
    more: bool = False
    made: Sequence[Entry] = ()

    def __len__(self) -> int:
        return len(self.lines) + len(self.strange) + len(self.made)

    @cached_property
    def read(self) -> tuple[list[Entry], list[bytes]]:
        """The requests, and the lines that nobody can read."""
        entries, unreadable = list(self.made), list(self.strange)
        for line in chain.from_iterable(sliced(self.lines)):
            if (entry := decode(line, FINAL)) is not None:
                entries.append(entry)
            else:
                unreadable.append(line)
        return entries, unreadable

    @property
    def entries(self) -> list[Entry]:
        return self.read[0]

    @property
    def unreadable(self) -> list[bytes]:
        return self.read[1]


class SegmentReader:
    """Reads one segment, which may still grow. What is read counts as done only after `done`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_RDONLY)
        self.position = 0

    def read(self) -> Batch:
        """The next whole lines, at most `MOST` finals among them. A line that is not whole yet, or torn, is not read."""
        lines: list[bytes] = []
        strange: list[bytes] = []
        openings: list[bytes] = []
        position, more = self.position, True
        while more and len(lines) < MOST and position < self.position + BATCH_BYTES:
            pieces, more = self._pieces(position)
            for line in pieces:
                position += len(line)
                if line.startswith(OPENING):
                    openings.append(line)  # read only when their process has died
                elif line.startswith(FINAL):
                    lines.append(line)
                else:
                    strange.append(line)
                if len(lines) == MOST:
                    more = True
                    break
            if more:
                pause()
        return Batch(lines, strange, openings, position, more)

    def _pieces(self, position: int) -> tuple[list[bytes], bool]:
        """Some whole lines from there on, and whether something may follow."""
        size = _CHUNK
        while True:
            data = os.pread(self._descriptor, size, position)
            if len(data) < size or b"\n" in data:
                break
            size *= 2
        pieces = data.splitlines(keepends=True)
        while pieces and not pieces[-1].endswith(b"\n"):
            pieces.pop()
        return pieces, len(data) == size

    def done(self, batch: Batch) -> None:
        self.position = batch.end

    def close(self) -> None:
        os.close(self._descriptor)


def decode(line: bytes, kind: bytes) -> Entry | None:
    """The entry of a line of this kind, or None if it cannot be read."""
    if not line.startswith(kind) or not line.endswith(END):
        return None
    try:
        return _decoder.decode(line[len(kind) : -len(END)])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _id_of(line: bytes) -> str:
    """The id of a finished request; "" if its line cannot be read."""
    try:
        return _head.decode(line[len(FINAL) : -len(END)]).request_id
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ""


def as_shut_down(opening: Entry) -> Entry:
    """The record of a request that its process did not live to finish: nothing is known but how it began."""
    return msgspec.structs.replace(opening, outcome="shut_down", reason="process_ended", estimated=True)


def adopted(root: Path, own: Path) -> Generator[Batch, None, None]:
    """What dead processes left in their folders, in batches; asking for the next one says that the last is stored.

    A folder goes when all of it is stored, the requests that its process had begun and not finished included.
    """
    for folder in sorted(root.iterdir()):
        if folder == own or folder.name.startswith(".") or not folder.is_dir():
            continue
        lock = take_lock(folder)
        if lock is None:
            continue
        log.info("adopting the spool of a process that has ended", folder=folder.name)
        try:
            yield from _whole_folder(folder)
            remove_folder(folder)
        except OSError as error:
            log.error("a spool cannot be adopted", folder=folder.name, error=str(error))
        finally:
            os.close(lock)


def _whole_folder(folder: Path) -> Iterator[Batch]:
    """Its finals, oldest first, then the requests that it had begun and not finished."""
    unfinished: dict[str, Entry] = {}
    for path in segments_of(folder):
        yield from _whole_segment(path, unfinished)
    left = [as_shut_down(entry) for entry in unfinished.values()]
    for start in range(0, len(left), MOST):
        yield Batch(made=left[start : start + MOST])


def _whole_segment(path: Path, unfinished: dict[str, Entry]) -> Iterator[Batch]:
    """`unfinished` gains the requests that were opened here and loses those that ended."""
    reader = SegmentReader(path)
    try:
        while (batch := reader.read()).end > reader.position:
            strange = list(batch.strange)
            for line in batch.openings:
                opening = decode(line, OPENING)
                if opening is None:
                    strange.append(line)
                else:
                    unfinished[opening.request_id] = opening
            # An opening never follows its final, so the order between the two is lost safely.
            for line in chain.from_iterable(sliced(batch.lines)) if unfinished else ():
                unfinished.pop(_id_of(line), None)
            yield replace(batch, strange=strange)
            reader.done(batch)
    finally:
        reader.close()
