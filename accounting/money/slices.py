"""Long work in short slices, between which the process's other threads run.

A thread that computes without a pause makes the event loop wait five milliseconds for the interpreter, each time that it
comes back from waiting: during a backlog that was every request. A pause of a microsecond lets it in at once.
"""

import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")
SLICE = 50  # entries: about a fifth of a millisecond of work
LIGHT = 200  # lines that are only looked at: the same
_PAUSE = (
    1e-6  # seconds; zero would not do, for the interpreter would be taken again before the other thread has woken up
)


def sliced(items: Sequence[Item], size: int = SLICE) -> Iterator[Sequence[Item]]:
    """The items in slices, with a pause between two of them."""
    for start in range(0, len(items), size):
        if start:
            pause()
        yield items[start : start + size]


def pause() -> None:
    """Lets the process's other threads run."""
    time.sleep(_PAUSE)
