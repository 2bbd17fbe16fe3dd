"""What one process needs to serve: the pictures of configuration, kept fresh, the recorder, the upstreams, the limits.

`get_runtime()` is the process's one runtime. Its threads are the watcher, which swaps pictures, the teller, which writes
down what was seen, the recorder's, and that of alerts.
"""

import asyncio
import ipaddress
import random
import time
from datetime import UTC, datetime
from pathlib import Path

from django.conf import settings

from accounting.access.directory import Directory
from accounting.alerting.running import RunningAlerts
from accounting.limits.prices import BookPrices
from accounting.limits.running import RunningLimits
from accounting.money.recorder import Recorder
from accounting.money.store import store_lines, store_records
from gateway_project.jobs import JobLog
from gateway_project.telemetry import logger
from routing.health import Health
from routing.observations import Observations
from routing.proxy.allowance import Allowance
from routing.proxy.billing import Billing
from routing.proxy.checks import Checks
from routing.proxy.exchange import Cause, Exchange
from routing.proxy.house import House
from routing.proxy.passthrough import PassThrough
from routing.proxy.sharing import Sharing, prefix_of
from routing.proxy.teller import Teller
from routing.proxy.upstream import UpstreamClient
from routing.proxy.watcher import Watcher
from routing.snapshot import Snapshot

ADOPTION_SECONDS = 2.0  # that a start waits for the records that a killed process has left
LAST_WORDS_SECONDS = 3.0  # that requests get to end in order when the process has to go

log = logger(__name__)


class Runtime:
    """One process's gateway. `start` before the first request, `stop` after the last."""

    def __init__(self, folder: Path) -> None:
        jobs, billing = JobLog(), Billing()
        upstreams, recorder = (
            UpstreamClient(),
            Recorder(folder / "spool", store=store_records, store_lines=store_lines, jobs=jobs),
        )
        self.limits = RunningLimits(
            lambda: self.house.directory.limits,
            redis_url=settings.REDIS_URL,
            workers=settings.GATEWAY_WORKERS,
            behind=lambda: recorder.depth,
            prices=BookPrices(lambda: self.house.billing.book),
            jobs=jobs,
        )
        self.house = House(
            snapshot=Snapshot(revision=-1),
            directory=Directory(revision=-1),
            recorder=recorder,
            upstreams=upstreams,
            health=Health(),
            ping_seconds=float(settings.GATEWAY_PING_SECONDS),
            random=random.random,
            observations=Observations(),
            passthrough=PassThrough(upstreams, recorder, settings.GATEWAY_PUBLIC_URL, billing, jobs),
            billing=billing,
            jobs=jobs,
            limits=Allowance(self.limits.admission, settings.GATEWAY_PUBLIC_URL),
        )
        self.running: set[Exchange] = set()
        self.max_body: int = settings.GATEWAY_MAX_BODY_BYTES
        self.body_seconds = float(settings.GATEWAY_BODY_SECONDS)
        self.trusted_proxies = tuple(ipaddress.ip_network(text) for text in settings.GATEWAY_TRUSTED_PROXIES)
        self._starting: asyncio.Task[None] | None = None
        self._watcher = Watcher(self.house, self._swapped, limits=self.limits)
        self._teller = Teller(self.house, limits=self.limits, active=lambda: self.active)
        self._alerts = RunningAlerts(jobs)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sharing: Sharing | None = None
        self._checks: Checks | None = None
        self._pruning: set[asyncio.Task[None]] = set()

    @property
    def draining(self) -> bool:
        return self.house.draining

    @draining.setter
    def draining(self, value: bool) -> None:
        self.house.draining = value

    def settle(self, exchange: Exchange) -> None:
        """What is done with every request that ends, just before its record is kept: it is priced."""
        entry, house = exchange.entry, self.house
        if exchange.usage is not None and entry.attempts:
            provider = house.snapshot.providers.get(entry.provider)
            house.billing.charge(entry, exchange.usage, provider, kind=exchange.line_kind, free=exchange.free)
        if exchange.shadowed is not None:
            house.shadows.count(exchange.shadowed, entry, exchange.usage, house.billing.book)
        if entry.outcome == "upstream_error" and entry.stream and exchange.reply.started:
            house.resends.failed(entry, exchange.size, time.monotonic())

    @property
    def active(self) -> int:
        """How many requests are running, those included whose client has left."""
        return len(self.running)

    @property
    def ready(self) -> bool:
        """Whether new requests are served: the configuration is loaded, records are kept, the process stays."""
        house = self.house
        return house.informed and house.recorder.accepting and not house.draining

    async def start(self) -> None:
        """Loads the configuration and starts the threads; returns when requests can be served. May be called again."""
        if self._starting is None:
            self._starting = asyncio.ensure_future(self._start())
        await asyncio.shield(self._starting)

    async def _start(self) -> None:
        self._loop = asyncio.get_running_loop()
        if settings.REDIS_URL:
            prefix = prefix_of(settings.SECRET_KEY, str(settings.DATABASES["default"]["NAME"]))
            self._sharing = Sharing(self.house.health, settings.REDIS_URL, prefix)
            self._sharing.start()
        self._checks = Checks(self.house, self._sharing.claim if self._sharing else _alone, self.settle)
        await asyncio.to_thread(self.house.recorder.start)
        # Budgets are filled from the records: first those of a process that was killed.
        await asyncio.to_thread(self.house.recorder.wait_for_the_dead, ADOPTION_SECONDS)
        await asyncio.to_thread(self._watcher.refresh)
        await self.limits.start()
        self._watcher.start()
        self._teller.start()
        self._alerts.start()
        self._checks.start()
        self.house.passthrough.resume(self.house.snapshot)

    async def stop(self) -> None:
        """Ends what still runs, in order and with its record, and flushes the records."""
        self.draining = True
        for exchange in list(self.running):
            exchange.cancel(Cause.SHUT_DOWN)
        tasks = {exchange.task for exchange in self.running if exchange.task is not None}
        if tasks:
            await asyncio.wait(tasks, timeout=LAST_WORDS_SECONDS)
        self._watcher.stop()
        self._teller.stop()
        self._alerts.stop()
        if self._checks is not None:
            await self._checks.stop()
        if self._sharing is not None:
            await self._sharing.stop()
        await self.house.passthrough.close()
        await self.house.upstreams.close()
        await self.limits.stop()
        await asyncio.to_thread(self.house.recorder.stop, LAST_WORDS_SECONDS)
        self._starting = None

    def _swapped(self, snapshot: Snapshot) -> None:
        """In the watcher's thread: the loop closes connections that the new picture does not need, and takes its orders."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._take_over, snapshot)

    def _take_over(self, snapshot: Snapshot) -> None:
        self.house.health.obey(snapshot.controls, time.monotonic(), datetime.now(UTC))
        task = asyncio.ensure_future(self.house.upstreams.keep_only(snapshot.providers.values()))
        self._pruning.add(task)
        task.add_done_callback(self._pruning.discard)


async def _alone(name: str, seconds: float) -> bool:
    """One process does everything itself."""
    return True


_runtime: Runtime | None = None


def get_runtime() -> Runtime:
    """The process's one runtime; made at the first call."""
    global _runtime
    if _runtime is None:
        _runtime = Runtime(settings.GATEWAY_DATA_DIR)
    return _runtime


def running() -> Runtime | None:
    """The process's runtime if it serves requests, for pages that show its figures."""
    return _runtime if _runtime is not None and _runtime.house.informed else None


async def started_runtime() -> Runtime:
    """The process's runtime, started."""
    runtime = get_runtime()
    if not runtime.house.informed:
        await runtime.start()
    return runtime
