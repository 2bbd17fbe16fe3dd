"""The timer of one task. Its moment moves by setting a number; the event loop is asked only when it has to ring earlier.

A request has many limits of time, one after the other, and hardly any of them is ever reached: a timer for each, made and
cancelled, cost more than reading the answer (measured 2026-11: 4 to 5 us each with asyncio.timeout, below 1 us here).
"""

import asyncio
import math
from collections.abc import Callable


class Alarm:
    """Belongs to the task that makes it; one limit at a time.

    alarm.set(seconds)
    try:
        …                       # cancelled when the time is over
    except CancelledError:
        if alarm.rang():        # asked once: it takes its cancellation back
            …
        raise
    finally:
        alarm.off()

    `lasting` is called once, when the task has lasted for `after` seconds.
    """

    __slots__ = ("_at", "_cancelling", "_due", "_handle", "_lasting", "_loop", "_rang", "task")

    def __init__(self, lasting: Callable[[], None] | None = None, after: float = 0.0) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.task: asyncio.Task[object] = task
        self._loop = task.get_loop()
        self._due = self._at = math.inf  # of the loop's clock: when it rings; when the loop calls
        self._handle: asyncio.TimerHandle | None = None
        self._rang = False
        self._cancelling = 0
        self._lasting = lasting
        if lasting is not None:
            self._call(self._loop.time() + after)

    def set(self, seconds: float) -> None:
        """Rings in so many seconds, whatever it was set to before."""
        self._cancelling, self._rang = self.task.cancelling(), False
        self._due = due = self._loop.time() + seconds
        if due < self._at:
            self._call(due)

    def off(self) -> None:
        """Does not ring."""
        self._due = math.inf

    def rang(self) -> bool:
        """Whether the cancellation that was just caught is the alarm's, and nobody else's besides. Takes it back."""
        rang, self._rang = self._rang, False
        return rang and self.task.uncancel() <= self._cancelling

    def stop(self) -> None:
        """Does not ring any more, and lets go of everything."""
        self._due = self._at = math.inf
        self._lasting = None
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _call(self, moment: float) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._at = moment
        self._handle = self._loop.call_at(moment, self._look)

    def _look(self) -> None:
        self._handle, self._at = None, math.inf
        lasting, self._lasting = self._lasting, None
        if lasting is not None:
            lasting()
        if self._due <= self._loop.time():
            self._due = math.inf
            self._rang = True
            self.task.cancel()
        elif self._due < math.inf:
            self._call(self._due)
