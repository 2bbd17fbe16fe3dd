"""Ends tasks for good."""

import asyncio
from typing import Any

AGAIN = 0.5  # seconds after which a task that is still there is cancelled once more


async def end(*tasks: "asyncio.Task[Any] | None") -> None:
    """Cancels tasks and returns when they are over, whatever they ended with; so it does when it is cancelled itself.

    A client of Redis takes a cancellation that comes while it connects for a failure of the connection, and its caller goes
    on. So one cancellation is not enough.
    """
    left = {task for task in tasks if task is not None}
    cancelled = False
    while left:
        for task in left:
            task.cancel()
        try:
            over, left = await asyncio.wait(left, timeout=AGAIN)
        except asyncio.CancelledError:
            cancelled = True
            continue
        for task in over:
            if not task.cancelled():
                task.exception()  # read, so that nobody is told of it: the task was to end anyway
    if cancelled:
        raise asyncio.CancelledError
