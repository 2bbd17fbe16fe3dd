"""What one process needs to serve: the pictures of configuration, kept fresh, the recorder, the upstreams.

`get_runtime()` is the process's one runtime. A thread polls the revisions and swaps a picture when its number has moved;
while the database is away the last picture goes on serving.
"""

import asyncio
import ipaddress
import random
import threading
from collections.abc import Callable
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError, Error, close_old_connections, connection

from accounting.access.directory import Directory, load_directory
from accounting.models import Revision
from accounting.money.recorder import Recorder
from accounting.money.store import store_records
from gateway_project.telemetry import logger
from routing.compatibility import store_observations
from routing.health import Health
from routing.models import OWNERSHIP
from routing.observations import Batch, Observations
from routing.proxy.credentials import CredentialStatus
from routing.proxy.exchange import Cause, Exchange
from routing.proxy.passthrough import PassThrough
from routing.proxy.passthrough.store import refresh as refresh_owners
from routing.proxy.pipeline import House
from routing.proxy.upstream import UpstreamClient
from routing.refreshes import store_refreshes
from routing.snapshot import Snapshot, load_snapshot

POLL_SECONDS = 0.25
LAST_WORDS_SECONDS = 3.0  # that requests get to end in order when the process has to go

log = logger(__name__)


class Runtime:
    """One process's gateway. `start` before the first request, `stop` after the last."""

    def __init__(self, folder: Path) -> None:
        upstreams, recorder = UpstreamClient(), Recorder(folder / "spool", store=store_records)
        self.house = House(
            snapshot=Snapshot(revision=-1),
            directory=Directory(revision=-1),
            recorder=recorder,
            upstreams=upstreams,
            health=Health(),
            ping_seconds=float(settings.GATEWAY_PING_SECONDS),
            random=random.random,
            observations=Observations(),
            passthrough=PassThrough(upstreams, recorder, settings.GATEWAY_PUBLIC_URL),
        )
        self.running: set[Exchange] = set()
        self.max_body: int = settings.GATEWAY_MAX_BODY_BYTES
        self.trusted_proxies = tuple(ipaddress.ip_network(text) for text in settings.GATEWAY_TRUSTED_PROXIES)
        self._starting: asyncio.Task[None] | None = None
        self._watcher = Watcher(self.house, self._swapped, store=store_observations)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pruning: set[asyncio.Task[None]] = set()

    @property
    def draining(self) -> bool:
        return self.house.draining

    @draining.setter
    def draining(self, value: bool) -> None:
        self.house.draining = value

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
        await asyncio.to_thread(self._watcher.refresh)
        await asyncio.to_thread(self.house.recorder.start)
        self._watcher.start()
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
        await self.house.passthrough.close()
        await self.house.upstreams.close()
        await asyncio.to_thread(self.house.recorder.stop, LAST_WORDS_SECONDS)
        self._starting = None

    def _swapped(self, snapshot: Snapshot) -> None:
        """In the watcher's thread: connections that the new picture does not need are closed by the loop."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._prune, snapshot)

    def _prune(self, snapshot: Snapshot) -> None:
        task = asyncio.ensure_future(self.house.upstreams.keep_only(snapshot.providers.values()))
        self._pruning.add(task)
        task.add_done_callback(self._pruning.discard)


class Watcher:
    """A thread that keeps the house's pictures as new as the database's revisions, and writes what the house observed."""

    def __init__(self, house: House, swapped: Callable[[Snapshot], None], *, store: Callable[[Batch], None]) -> None:
        self._house = house
        self._swapped = swapped
        self._store = store
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._away = False
        self._told: dict[int, CredentialStatus] = {}

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="configuration", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def refresh(self) -> None:
        """Reads the revisions, and whatever has moved. While the database is away nothing changes."""
        try:
            numbers = dict(Revision.objects.values_list("name", "number"))
            if numbers.get(Revision.DIRECTORY, 0) != self._house.directory.revision:
                self._house.directory = load_directory()
            if numbers.get(Revision.ROUTING, 0) != self._house.snapshot.revision:
                self._house.snapshot = load_snapshot()
                self._swapped(self._house.snapshot)
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

    def _run(self) -> None:
        try:
            while not self._stopped.wait(POLL_SECONDS):
                self.refresh()
                self.tell_refreshes()
                self.tell(self._house.observations.take())
            self.tell(self._house.observations.take_all())
        finally:
            connection.close()


_runtime: Runtime | None = None


def get_runtime() -> Runtime:
    """The process's one runtime; made at the first call."""
    global _runtime
    if _runtime is None:
        _runtime = Runtime(settings.GATEWAY_DATA_DIR)
    return _runtime


async def started_runtime() -> Runtime:
    """The process's runtime, started."""
    runtime = get_runtime()
    if runtime.house.snapshot.revision < 0 or runtime.house.directory.revision < 0:
        await runtime.start()
    return runtime
