"""What one process needs to serve: the pictures of configuration, kept fresh, the recorder, the upstreams.

`get_runtime()` is the process's one runtime. A thread polls the revisions and swaps a picture when its number has moved;
while the database is away the last picture goes on serving.
"""

import asyncio
import ipaddress
import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError, Error, close_old_connections, connection

from accounting.access.directory import Directory, load_directory
from accounting.limits.prices import BookPrices
from accounting.limits.running import RunningLimits
from accounting.models import Revision
from accounting.money.price_store import load_price_book, store_unpriced
from accounting.money.recorder import Recorder
from accounting.money.store import store_records
from gateway_project.telemetry import logger
from routing.compatibility import store_observations
from routing.health import Health
from routing.models import OWNERSHIP
from routing.observations import Batch, Observations
from routing.proxy.allowance import Allowance
from routing.proxy.billing import Billing
from routing.proxy.checks import Checks
from routing.proxy.credentials import CredentialStatus
from routing.proxy.exchange import Cause, Exchange
from routing.proxy.passthrough import PassThrough
from routing.proxy.passthrough.store import refresh as refresh_owners
from routing.proxy.pipeline import House
from routing.proxy.sharing import Sharing, prefix_of
from routing.proxy.upstream import UpstreamClient
from routing.refreshes import store_refreshes
from routing.shadows import store_shadows
from routing.snapshot import Snapshot, load_snapshot
from routing.target_status import StatusWriter
from routing.versions.duties import Duties
from routing.versions.fleet import Serving
from routing.versions.signals import Ear

POLL_SECONDS = 0.25
LAST_WORDS_SECONDS = 3.0  # that requests get to end in order when the process has to go

log = logger(__name__)


class Runtime:
    """One process's gateway. `start` before the first request, `stop` after the last."""

    def __init__(self, folder: Path) -> None:
        upstreams, recorder = UpstreamClient(), Recorder(folder / "spool", store=store_records)
        billing = Billing()
        self.limits = RunningLimits(
            lambda: self.house.directory.limits,
            redis_url=settings.REDIS_URL,
            workers=settings.GATEWAY_WORKERS,
            behind=lambda: recorder.depth,
            prices=BookPrices(lambda: self.house.billing.book),
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
            passthrough=PassThrough(upstreams, recorder, settings.GATEWAY_PUBLIC_URL, billing),
            billing=billing,
            limits=Allowance(self.limits.admission, settings.GATEWAY_PUBLIC_URL),
        )
        self.running: set[Exchange] = set()
        self.max_body: int = settings.GATEWAY_MAX_BODY_BYTES
        self.trusted_proxies = tuple(ipaddress.ip_network(text) for text in settings.GATEWAY_TRUSTED_PROXIES)
        self._starting: asyncio.Task[None] | None = None
        self._watcher = Watcher(
            self.house,
            self._swapped,
            store=store_observations,
            active=lambda: self.active,
            limits=self.limits,
        )
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
        return (
            house.snapshot.revision >= 0
            and house.billing.book.revision >= 0
            and house.directory.revision >= 0
            and house.recorder.accepting
            and not house.draining
        )

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
        self._checks = Checks(self.house, self._sharing.claim if self._sharing else _alone)
        await asyncio.to_thread(self._watcher.refresh)
        await asyncio.to_thread(self.house.recorder.start)
        await self.limits.start()
        self._watcher.start()
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


class Watcher:
    """A thread that keeps the house's pictures as new as the database's revisions, and writes what the house observed."""

    def __init__(
        self,
        house: House,
        swapped: Callable[[Snapshot], None],
        *,
        store: Callable[[Batch], None],
        limits: RunningLimits,
        active: Callable[[], int] = lambda: 0,
    ) -> None:
        self._house = house
        self._limits = limits
        self._swapped = swapped
        self._store = store
        self._active = active
        self._duties = Duties("development" if settings.GATEWAY_SIMULATOR else "production")
        self._stopped = threading.Event()
        self._wake = threading.Event()
        self._ear = Ear(settings.REDIS_URL, self._wake.set)
        self._thread: threading.Thread | None = None
        self._away = False
        self._told: dict[int, CredentialStatus] = {}
        self._status = StatusWriter(house.health)

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="configuration", daemon=True)
        self._thread.start()
        self._ear.start()

    def stop(self) -> None:
        self._stopped.set()
        self._ear.stop()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def refresh(self) -> None:
        """Reads the revisions, and whatever has moved. While the database is away nothing changes."""
        try:
            numbers = dict(Revision.objects.values_list("name", "number"))
            if numbers.get(Revision.DIRECTORY, 0) != self._house.directory.revision:
                directory = load_directory()
                self._limits.fill(directory.limits)  # first: a limit that nothing is known of would begin at zero
                self._house.directory = directory
            if numbers.get(Revision.ROUTING, 0) != self._house.snapshot.revision:
                self._house.snapshot = load_snapshot()
                self._swapped(self._house.snapshot)
            if numbers.get(Revision.PRICES, 0) != self._house.billing.book.revision:
                self._house.billing.book = load_price_book()
            if numbers.get(OWNERSHIP, 0) != self._house.passthrough.owners.revision:
                refresh_owners(self._house.passthrough.owners)
        except DatabaseError as error:
            close_old_connections()
            if not self._away:
                self._away = True
                log.error("configuration cannot be read; the last one goes on serving", error=str(error)[:300])
            return
        if self._away:
            self._away = False
            log.info("configuration can be read again")

    def tell(self, batch: Batch) -> None:
        """Writes what was observed; while the database is away it is kept."""
        try:
            self._store(batch)
        except Error as error:
            close_old_connections()
            self._house.observations.give_back(batch)
            log.debug("observations of compatibility cannot be written yet", error=str(error)[:300])

    def tell_refreshes(self) -> None:
        """Writes how the fetching of tokens went, where that has changed."""
        now = self._house.upstreams.refreshes()
        news = {provider: status for provider, status in now.items() if self._told.get(provider) != status}
        if not news:
            return
        try:
            store_refreshes(news)
            self._told = now
        except Error as error:
            close_old_connections()
            log.debug("the status of credentials cannot be written yet", error=str(error)[:300])

    def tell_unpriced(self) -> None:
        """Writes down which models had no price; while the database is away it is kept."""
        found = self._house.billing.take()
        if not found:
            return
        try:
            store_unpriced(found)
        except Error as error:
            close_old_connections()
            self._house.billing.give_back(found)
            log.debug("models without a price cannot be written down yet", error=str(error)[:300])

    def tell_shadows(self, *, last: bool = False) -> None:
        """Writes what drafts of routes would have done; while the database is away it is kept."""
        taken = self._house.shadows.take(all_=last)
        if not taken:
            return
        try:
            store_shadows(taken)
        except Error as error:
            close_old_connections()
            self._house.shadows.give_back(taken)
            log.debug("counts of drafts cannot be written yet", error=str(error)[:300])

    def tell_health(self) -> None:
        """Writes how targets are doing, where that has changed; at the end, that this process says nothing more."""
        try:
            if self._stopped.is_set():
                self._status.leave()
            else:
                self._status.write()
        except Error as error:
            close_old_connections()
            log.debug("the status of targets cannot be written yet", error=str(error)[:300])

    def _serving(self) -> Serving:
        return Serving(self._house.snapshot.revision, self._house.directory.revision, self._active())

    def _run(self) -> None:
        try:
            while True:
                self._wake.wait(POLL_SECONDS)
                self._wake.clear()
                if self._stopped.is_set():
                    break
                self.refresh()
                self._limits.turn()
                self._duties.run(self._serving())
                self.tell_refreshes()
                self.tell_unpriced()
                self.tell(self._house.observations.take())
                self.tell_health()
                self.tell_shadows()
            self.tell_health()
            self.tell_shadows(last=True)
            self.tell(self._house.observations.take_all())
            self._duties.leave()
            self.tell_unpriced()
        finally:
            connection.close()


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
    return _runtime if _runtime is not None and _runtime.house.snapshot.revision >= 0 else None


async def started_runtime() -> Runtime:
    """The process's runtime, started."""
    runtime = get_runtime()
    if runtime.house.snapshot.revision < 0 or runtime.house.directory.revision < 0:
        await runtime.start()
    return runtime
