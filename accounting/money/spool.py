"""The spool: finished requests as JSON lines in a folder of this process, on local disk before anything else happens.

Two kinds of line: an opening, `{"o": Entry}`, when a request is about to go upstream, and a final, `{"r": Entry}`, when it
is over. A process holds a lock on its folder for as long as it lives; a folder whose lock is free belongs to a dead one.
Nothing is synced: a line survives the death of the process, not that of the machine's power.

Never write here without the lock of the spool: rotation and the list of unfinished requests must agree with the file.
"""

import fcntl
import os
import secrets
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from pathlib import Path

import msgspec

from accounting.money.entry import Entry
from gateway_project.telemetry import logger

OPENING, FINAL, END = b'{"o":', b'{"r":', b"}\n"
LOCK = "lock"
SUFFIX = ".jsonl"
Write = Callable[[int, bytes], int]
log = logger(__name__)
_encoder = msgspec.json.Encoder()


def encode(kind: bytes, entry: Entry) -> bytes:
    """One line of the spool."""
    try:
        return kind + _encoder.encode(entry) + END
    except UnicodeEncodeError:  # half of a surrogate pair, which no UTF-8 can carry
        return kind + _encoder.encode(_readable(msgspec.to_builtins(entry))) + END


def _readable(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {name: _readable(part) for name, part in value.items()}
    return [_readable(part) for part in value] if isinstance(value, list) else value


def take_lock(folder: Path) -> int | None:
    """The descriptor that holds the folder's lock until it is closed, or None if a living process holds it."""
    try:
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    if os.fstat(descriptor).st_nlink == 0:  # its former owner has just removed the folder
        os.close(descriptor)
        return None
    return descriptor


def segments_of(folder: Path) -> list[Path]:
    """The folder's segments, oldest first."""
    return sorted(folder.glob(f"*{SUFFIX}"))


def remove_folder(folder: Path) -> None:
    """Removes a folder whose lines are all stored. The caller holds its lock."""
    for path in [*segments_of(folder), folder / LOCK]:
        path.unlink(missing_ok=True)
    folder.rmdir()


class Spool:
    """The folder that this process writes. `waiting` finals are in memory because the disk refused them."""

    def __init__(self, root: Path, *, segment_bytes: int, memory_limit: int, write: Write = os.write) -> None:
        self._segment_bytes = segment_bytes
        self._memory_limit = memory_limit
        self._write = write
        self._mutex = threading.Lock()
        self._unfinished: dict[str, bytes] = {}
        self._waiting: deque[bytes] = deque()
        self._openings_missing = False
        self._disk_refuses = False
        self._numbers = 0
        self._size, self._full_at = 0, segment_bytes
        self.written = 0
        self.dropped = 0
        self.folder, self._lock = _own_folder(root)
        path, self._descriptor = self._open_segment()
        self._segments = deque([path])

    @property
    def accepting(self) -> bool:
        """False while the disk refuses lines and as many are in memory as may be."""
        return len(self._waiting) < self._memory_limit

    @property
    def size_on_disk(self) -> int:
        """Bytes of the segments that are there."""
        with self._mutex:
            paths = list(self._segments)
        total = 0
        for path in paths:
            with suppress(OSError):
                total += path.stat().st_size
        return total

    def opened(self, entry: Entry) -> None:
        line = encode(OPENING, entry)
        with self._mutex:
            self._unfinished[entry.request_id] = line
            if self._waiting or not self._put(line):
                self._openings_missing = True

    def finished(self, entry: Entry) -> None:
        line = encode(FINAL, entry)
        with self._mutex:
            served = self._unfinished.pop(entry.request_id, None) is not None
            if len(self._waiting) >= 2 * self._memory_limit and not served:
                self.dropped += 1  # a refusal, when even those that went upstream fill the memory twice
                return
            self.written += 1
            if self._waiting or not self._put(line):
                self._waiting.append(line)

    def oldest(self) -> tuple[Path, bool]:
        """The oldest segment, and whether it is closed: then no line follows those that are in it now."""
        with self._mutex:
            return self._segments[0], len(self._segments) > 1

    def remove_oldest(self) -> None:
        """Removes the oldest segment, which is closed and stored."""
        with self._mutex:
            self._segments.popleft().unlink(missing_ok=True)

    def unfinished(self) -> list[bytes]:
        """The openings of requests that are not over."""
        with self._mutex:
            return list(self._unfinished.values())

    def waiting(self, most: int) -> list[bytes]:
        """The oldest finals that are in memory only."""
        with self._mutex:
            return list(islice(self._waiting, most))

    def forget_waiting(self, count: int) -> None:
        with self._mutex:
            for _ in range(count):
                self._waiting.popleft()

    def recover(self) -> None:
        """Writes what waits in memory, as far as the disk takes it."""
        with self._mutex:
            if self._openings_missing and not self._rotate():
                return
        while True:
            with self._mutex:
                lines = list(islice(self._waiting, 100))
                if not lines:
                    break
                if not self._put(b"".join(lines)):
                    return
                for _ in lines:
                    self._waiting.popleft()

    def close(self) -> None:
        """Lets go of the folder, in this process only: a forked child closes its copies without freeing the lock."""
        for descriptor in {self._descriptor, self._lock} - {-1}:
            os.close(descriptor)
        self._descriptor = self._lock = -1

    def _put(self, line: bytes) -> bool:
        if self._size >= self._full_at and not self._rotate():
            return False
        return self._append(line)

    def _append(self, data: bytes) -> bool:
        try:
            count = self._write(self._descriptor, data)
        except OSError as error:
            return self._disk(error)
        if count != len(data):
            return self._disk(self._without_half_line())
        self._size += count
        return self._disk(None)

    def _without_half_line(self) -> OSError:
        """No line may follow half of another one: the half goes, or else the segment is closed with it."""
        try:
            os.ftruncate(self._descriptor, self._size)
        except OSError as error:
            self._full_at = 0
            return error
        return OSError("the disk took half a line")

    def _disk(self, error: OSError | None) -> bool:
        """Notes whether the last write went well; one log line when that changes."""
        if error is not None and not self._disk_refuses:
            log.error("the spool cannot be written; records are kept in memory", error=str(error))
        elif error is None and self._disk_refuses:
            log.warning("the spool can be written again", dropped_refusals=self.dropped)
        self._disk_refuses = error is not None
        return error is None

    def _rotate(self) -> bool:
        """A new segment, which begins with the openings of all unfinished requests, so that older ones can go."""
        old, old_size = self._descriptor, self._size
        try:
            path, self._descriptor = self._open_segment()
        except OSError as error:
            return self._disk(error)
        self._size = 0
        if self._unfinished and not self._append(b"".join(self._unfinished.values())):
            os.close(self._descriptor)
            path.unlink(missing_ok=True)
            self._descriptor, self._size = old, old_size
            return False
        os.close(old)
        self._segments.append(path)
        self._full_at = self._size + self._segment_bytes
        self._openings_missing = False
        return True

    def _open_segment(self) -> tuple[Path, int]:
        self._numbers += 1
        path = self.folder / f"{self._numbers:010d}{SUFFIX}"
        return path, os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)


def _own_folder(root: Path) -> tuple[Path, int]:
    """A new folder with its lock held before it gets the name under which others look for the folders of the dead."""
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    name = f"{os.getpid()}-{secrets.token_hex(4)}"
    hidden = root / f".{name}"
    hidden.mkdir(mode=0o700)
    lock = take_lock(hidden)
    assert lock is not None
    hidden.rename(root / name)
    return root / name, lock
