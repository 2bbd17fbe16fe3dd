"""Ending background tasks."""

import asyncio
from collections.abc import Iterable
from typing import Any

AGAIN_SECONDS = 0.5


async def end(tasks: Iterable[asyncio.Task[Any]], again: float = AGAIN_SECONDS) -> None:
    """Cancels tasks and waits for their end; what they raise is dropped.

    A cancellation can get lost in a library that takes it for a timeout of its own (seen in redis's `get_message`, when a
    message arrives at that moment); the task then runs on, and waiting for it would be for ever. So it is cancelled
    again, every so many seconds.
    """
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=again)
