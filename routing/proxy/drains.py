"""Streams that are read to their end although their client has left: how many at once, and for how long."""

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from routing.proxy.exchange import Exchange

MOST = 200  # in one process; further ones are cancelled
LONGEST = 600.0  # seconds after the client has left


class Drains:
    """One per process."""

    def __init__(self, most: int = MOST, longest: float = LONGEST) -> None:
        self._most = most
        self._longest = longest
        self.count = 0

    def enter(self, exchange: "Exchange") -> bool:
        """Whether there is room for one more stream; it is ended when its time is over."""
        task = exchange.task
        if task is None or task.done() or self.count >= self._most:
            return False
        self.count += 1
        timer = asyncio.get_running_loop().call_later(self._longest, exchange.end_drain)

        def ended(_: object) -> None:
            self.count -= 1
            timer.cancel()

        task.add_done_callback(ended)
        return True
