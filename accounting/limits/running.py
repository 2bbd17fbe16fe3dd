"""The limits of one process, put together: counters by `REDIS_URL`, admission, and what its thread does from time to time."""

import os
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime

from django.db import Error
from redis import RedisError

from accounting.limits.admission import Admission
from accounting.limits.alerts import LOOK_EVERY, Alerts
from accounting.limits.asking import expire_requests
from accounting.limits.book import LimitBook
from accounting.limits.checking import CHECK_EVERY, STORED_WITHIN, Checker, current_keys
from accounting.limits.counters import Books, Counters
from accounting.limits.estimate import Prices
from accounting.limits.loading import installation
from accounting.limits.memory import MemoryCounters
from accounting.limits.redis import PREFIX, RedisBooks, RedisCounters
from accounting.limits.shared import SharedCounters
from accounting.limits.spending import SpentBy, spent_by_ledger
from accounting.limits.standing import watch
from gateway_project.jobs import JobLog
from gateway_project.telemetry import logger

READY_EVERY = 1.0  # seconds between two looks whether shared counters still hold what was spent

log = logger(__name__)


class RunningLimits:
    """`book` gives the limits in force, `prices` the dearest rates that a request can cost; `behind` how many records are
    not stored yet; `workers` how many processes there are at the start."""

    def __init__(
        self,
        book: Callable[[], LimitBook],
        *,
        prices: Prices,
        redis_url: str = "",
        workers: int = 1,
        behind: Callable[[], int] = lambda: 0,
        spent_by: SpentBy = spent_by_ledger,
        clock: Callable[[], float] = time.time,
        jobs: JobLog | None = None,
    ) -> None:
        self._jobs = jobs or JobLog()
        self._book = book
        self._process = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._shared: SharedCounters | None = None
        self._store: RedisCounters | None = None
        counters, self._books = self._made(redis_url, workers)
        self.admission = Admission(counters, process=self._process, prices=prices)
        self._checker = Checker(self._books, spent_by, behind=behind, clock=clock)
        self._alerts = Alerts(clock)
        self._clock = clock
        self._due: dict[str, float] = {}
        self._checking = False
        self._unfilled = False  # Redis was away when the counters were to be seeded
        self._troubled = False

    def _made(self, redis_url: str, workers: int) -> tuple[Counters, Books]:
        if not redis_url:
            memory = MemoryCounters()
            return memory, memory
        self._store = RedisCounters(redis_url)
        self._shared = SharedCounters(
            self._store,
            process=self._process,
            policy=lambda: self._book().organization.on_counter_loss,
            workers=workers,
        )
        return self._shared, RedisBooks(redis_url)

    async def start(self) -> None:
        watch(self._books)
        await self.admission.start()

    async def stop(self) -> None:
        watch(None)
        await self.admission.stop()

    # -- in the thread that keeps the pictures fresh -----------------------------------------------------------------

    def fill(self, book: LimitBook) -> None:
        """Seeds the counters that a new picture needs, before it is used. Raises `django.db.Error`."""
        self._identify()
        self._unfilled = True
        try:
            self._checker.fill(book)
            self._unfilled = False
        except (RedisError, OSError) as error:
            self._trouble(error)

    def _identify(self) -> None:
        """Gives the shared counters the name of this installation, which only the database knows."""
        if self._store is not None and not self._store.prefix and isinstance(self._books, RedisBooks):
            self._store.prefix = self._books.prefix = PREFIX % installation()

    def turn(self) -> None:
        """What is due now. A database or a Redis that is away is tried again the next time."""
        try:
            self._turn(self._book(), time.monotonic())
            self._troubled = False
        except (Error, RedisError, OSError) as error:
            self._trouble(error)

    def _turn(self, book: LimitBook, now: float) -> None:
        self._identify()
        if self._is_due("ready", now, READY_EVERY) and (self._unfilled or not self._books.ready()):
            self._checker.fill(book)
            self._unfilled = False
        if self._is_due("alerts", now, LOOK_EVERY):
            with self._jobs.running("alerts"):
                self._alerts.look(book)
        if self._is_due("requests", now, CHECK_EVERY):
            with self._jobs.running("requests"):
                expire_requests(datetime.fromtimestamp(self._clock(), UTC))
        if self._is_due("look", now, CHECK_EVERY) and self._books.claim(self._process, int(CHECK_EVERY * 2.5)):
            self._checker.look(book)
            self._books.forget(current_keys(book, self._clock()))
            self._checking, self._due["check"] = True, now + STORED_WITHIN
        if self._checking and now >= self._due["check"]:
            self._checking = False
            with self._jobs.running("limits"):
                self._checker.check(book)
            if self._shared is not None:
                self._shared.know(self._checker.seen)

    def _is_due(self, what: str, now: float, every: float) -> bool:
        if now < self._due.get(what, 0.0):
            return False
        self._due[what] = now + every
        return True

    def _trouble(self, error: Exception) -> None:
        if not self._troubled:
            self._troubled = True
            log.warning("limits cannot be compared with the records at the moment", error=str(error)[:300])
