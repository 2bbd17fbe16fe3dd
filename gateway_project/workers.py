"""Workers of one machine tell each other their figures, so that any of them can answer /metrics for all.

Each worker holds a numbered slot of the folder by a lock, and writes its figures there about once a second. A slot whose
lock is free belongs to nobody: what it said last is forgotten. Numbers are used again, so labels do not pile up.
"""

import fcntl
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from gateway_project.exposition import Family

MOST_SLOTS = 1024  # two rounds of the most workers there may be, and to spare
_decoder = msgspec.json.Decoder(list[Family])


class NoSlot(Exception):
    """Every slot is taken."""


def _locked(path: Path) -> int | None:
    """A descriptor that holds the lock until it is closed, or None if another process holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


class Slot:
    """One worker's place, until `leave`. Raises `NoSlot`, or OSError if the folder cannot be written."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        for number in range(MOST_SLOTS):
            descriptor = _locked(folder / f"{number}.lock")
            if descriptor is not None:
                self.number, self._descriptor = number, descriptor
                return
        raise NoSlot(f"all of {MOST_SLOTS} slots in {folder} are taken")

    def publish(self, found: Sequence[Family]) -> None:
        """Replaces what this worker has told; a reader sees all of the old or all of the new."""
        new = self._folder / f"{self.number}.new"
        new.write_bytes(msgspec.json.encode(found))
        new.replace(self._folder / f"{self.number}.json")

    def others(self) -> dict[str, list[Family]]:
        """What the other workers that are alive told last, by their numbers."""
        found: dict[str, list[Family]] = {}
        for path in sorted(self._folder.glob("*.json")):
            if path.stem == str(self.number):
                continue
            free = _locked(path.with_suffix(".lock"))
            if free is not None:
                path.unlink(missing_ok=True)
                os.close(free)
                continue
            try:
                found[path.stem] = _decoder.decode(path.read_bytes())
            except (FileNotFoundError, msgspec.MsgspecError):
                continue  # it has just left, or is of another version
        return found

    def leave(self) -> None:
        (self._folder / f"{self.number}.json").unlink(missing_ok=True)
        os.close(self._descriptor)
