"""The way to the rows of ownership from the event loop: threads and connections of their own, bounded in time.

Not `sync_to_async`: its one thread is shared by all of Django, and a database that does not answer would stop it.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from django.db import Error, IntegrityError, connection

from gateway_project.telemetry import logger

LONGEST = 15.0  # seconds that one write may take
THREADS = 2

P = ParamSpec("P")
T = TypeVar("T")
log = logger(__name__)


class Unavailable(Exception):
    """The database did not do it, or did not say so in time."""


class AlreadyOwned(Exception):
    """A provider has given the same id twice."""


class Ledger:
    """One per process, used by its loop alone. What `later` was given may be lost when the process ends."""

    def __init__(self) -> None:
        self._threads: ThreadPoolExecutor | None = None
        self._running: set[asyncio.Task[None]] = set()

    async def do(self, action: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What `action` returns, in a thread. Raises `Unavailable` and `AlreadyOwned`."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="ownership")
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(LONGEST):
                return await loop.run_in_executor(self._threads, lambda: _connected(lambda: action(*args, **kwargs)))
        except IntegrityError as error:
            raise AlreadyOwned from error
        except (Error, TimeoutError) as error:
            log.error("ownership cannot be written or read", error=type(error).__name__, text=str(error)[:300])
            raise Unavailable from error

    def later(self, action: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        """Does it beside what goes on; a failure is logged."""

        async def run() -> None:
            try:
                await self.do(action, *args, **kwargs)
            except (Unavailable, AlreadyOwned):
                pass  # it is in the log

        task = asyncio.get_running_loop().create_task(run())
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def close(self) -> None:
        """Waits for what is being written, for a moment."""
        if self._running:
            await asyncio.wait(self._running, timeout=2)
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._threads = None


def _connected(action: Callable[[], T]) -> T:
    """Runs with a fresh connection: writes are rare, and an old connection may have died unnoticed."""
    try:
        return action()
    finally:
        connection.close()
