"""Keeps a process's pictures of the configuration as new as the database's revisions. A thread; it does nothing else, so that
a revoked key or a changed route is never later than a second.

While the database is away the last pictures go on serving.
"""

import threading
from collections.abc import Callable

from django.conf import settings
from django.db import DatabaseError, close_old_connections, connection

from accounting.access.directory import load_directory
from accounting.limits.running import RunningLimits
from accounting.models import Revision
from accounting.money.price_store import load_price_book
from gateway_project.telemetry import logger
from routing.models import OWNERSHIP
from routing.proxy.house import House
from routing.proxy.passthrough.store import refresh as refresh_owners
from routing.snapshot import Snapshot, load_snapshot
from routing.versions.signals import Ear

POLL_SECONDS = 0.25

log = logger(__name__)


class Watcher:
    """`swapped` is called, in the thread, with each new picture of routing. A signal by Redis makes it look at once."""

    def __init__(self, house: House, swapped: Callable[[Snapshot], None], *, limits: RunningLimits) -> None:
        self._house = house
        self._limits = limits
        self._swapped = swapped
        self._stopped = threading.Event()
        self._wake = threading.Event()
        self._ear = Ear(settings.REDIS_URL, self._wake.set)
        self._thread: threading.Thread | None = None
        self._away = False

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
            with self._house.jobs.running("configuration"):
                self._look()
        except DatabaseError as error:
            close_old_connections()
            self._say(error)
        except Exception:
            close_old_connections()
            log.exception("configuration cannot be read; the last one goes on serving")
        else:
            self._say(None)

    def _look(self) -> None:
        house, numbers = self._house, dict(Revision.objects.values_list("name", "number"))
        if numbers.get(Revision.DIRECTORY, 0) != house.directory.revision:
            directory = load_directory()
            self._limits.fill(directory.limits)  # first: a limit that nothing is known of would begin at zero
            house.directory = directory
        if numbers.get(Revision.ROUTING, 0) != house.snapshot.revision:
            house.snapshot = load_snapshot()
            self._swapped(house.snapshot)
        if numbers.get(Revision.PRICES, 0) != house.billing.book.revision:
            house.billing.book = load_price_book()
        if numbers.get(OWNERSHIP, 0) != house.passthrough.owners.revision:
            refresh_owners(house.passthrough.owners)

    def _say(self, error: DatabaseError | None) -> None:
        """One line when the database goes, one when it is back."""
        if error is not None and not self._away:
            log.error("configuration cannot be read; the last one goes on serving", error=str(error)[:300])
        elif error is None and self._away:
            log.info("configuration can be read again")
        self._away = error is not None

    def _run(self) -> None:
        try:
            while True:
                self._wake.wait(POLL_SECONDS)
                self._wake.clear()
                if self._stopped.is_set():
                    return
                self.refresh()
        finally:
            connection.close()
