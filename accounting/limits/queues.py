"""Requests that wait, in the order of their arrival, until others have settled what they had reserved of a budget."""

import asyncio
from collections import deque
from collections.abc import Callable

PATIENCE = 3.0  # seconds without anything settled
MOST_PATIENCE = 30.0  # seconds in all
LOOK_EVERY = 0.05  # seconds between two looks of the first in a queue: other processes settle, too
MOST_WAITING = 2000


class Queue:
    """One budget's. The first one tries, the others wait for their turn."""

    __slots__ = ("_now", "_waiting", "key", "moved")

    def __init__(self, key: str, now: Callable[[], float]) -> None:
        self.key = key
        self._now = now
        self._waiting: deque[asyncio.Event] = deque()
        self.moved = now()

    def __len__(self) -> int:
        return len(self._waiting)

    def join(self) -> asyncio.Event:
        turn = asyncio.Event()
        self._waiting.append(turn)
        return turn

    def leave(self, turn: asyncio.Event) -> None:
        self._waiting.remove(turn)
        self.wake()

    def progress(self) -> None:
        self.moved = self._now()

    def wake(self) -> None:
        """Something has changed: the first one tries again."""
        if self._waiting:
            self._waiting[0].set()

    async def wait(self, turn: asyncio.Event, deadline: float) -> bool:
        """Until it is worth trying; False when patience is over."""
        while True:
            first = self._waiting[0] is turn
            left = min(deadline, self.moved + PATIENCE) - self._now()
            if left <= 0:
                return False
            try:
                async with asyncio.timeout(min(left, LOOK_EVERY) if first else left):
                    await turn.wait()
            except TimeoutError:
                if first:
                    return True
                continue
            turn.clear()
            if self._waiting[0] is turn:
                return True
