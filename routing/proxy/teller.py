"""Writes down what a process has seen, and does what is due from time to time: figures of targets, models without a price,
counts of drafts and of compatibility, the comparison of limits with the ledger. A thread of its own: a slow database
must not make the configuration late.
"""

import threading
from collections.abc import Callable, Mapping

from django.conf import settings
from django.db import Error, close_old_connections, connection

from accounting.limits.running import RunningLimits
from accounting.money.price_store import store_unpriced
from gateway_project.telemetry import logger
from routing.compatibility import store_observations
from routing.observations import Batch
from routing.proxy.credentials import CredentialStatus
from routing.proxy.house import House
from routing.refreshes import store_refreshes
from routing.shadows import store_shadows
from routing.target_status import StatusWriter
from routing.versions.duties import Duties
from routing.versions.fleet import Serving

PAUSE = 0.25  # seconds

log = logger(__name__)


class Teller:
    """`active` is how many requests run. What cannot be written while the database is away is kept, within bounds."""

    def __init__(
        self,
        house: House,
        *,
        limits: RunningLimits,
        active: Callable[[], int] = lambda: 0,
        store: Callable[[Batch], None] = store_observations,
    ) -> None:
        self._house = house
        self._limits = limits
        self._active = active
        self._store = store
        self._duties = Duties("development" if settings.GATEWAY_SIMULATOR else "production", jobs=house.jobs)
        self._status = StatusWriter(house.health)
        self._told: Mapping[int, CredentialStatus] = {}
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="teller", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def tell(self, batch: Batch) -> None:
        """Writes what was observed of compatibility."""
        if batch:
            self._written(lambda: self._store(batch), lambda: self._house.observations.give_back(batch))

    def _turn(self) -> None:
        house = self._house
        self._limits.turn()
        self._duties.run(self._serving())
        self._tell_refreshes()
        self._tell_unpriced()
        self.tell(house.observations.take())
        if self._written(self._status.write):
            house.jobs.done("observations")
        self._tell_shadows(last=False)
        self._tell_sharing()

    def _serving(self) -> Serving:
        house = self._house
        return Serving(
            house.snapshot.revision,
            house.directory.revision,
            self._active(),
            house.recorder.depth,
            house.recorder.spool_bytes,
            house.jobs.told(),
        )

    def _tell_sharing(self) -> None:
        """Whether Redis carries the state of targets from process to process."""
        if settings.REDIS_URL and self._house.health.shared:
            self._house.jobs.done("sharing")
        elif settings.REDIS_URL:
            self._house.jobs.failed("sharing", "Redis is away; each process goes by what it sees itself")

    def _last_turn(self) -> None:
        self._written(self._status.leave)
        self._tell_shadows(last=True)
        self.tell(self._house.observations.take_all())
        self._duties.leave()
        self._tell_unpriced()

    def _tell_refreshes(self) -> None:
        """How the fetching of tokens went, where that has changed."""
        now = self._house.upstreams.refreshes()
        news = {provider: status for provider, status in now.items() if self._told.get(provider) != status}
        if news and self._written(lambda: store_refreshes(news)):
            self._told = now
        for status in news.values():
            if status.ok is not None:
                self._house.jobs.done("tokens") if status.ok else self._house.jobs.failed("tokens", status.error)

    def _tell_unpriced(self) -> None:
        """Which models had no price."""
        if found := self._house.billing.take():
            self._written(lambda: store_unpriced(found), lambda: self._house.billing.give_back(found))

    def _tell_shadows(self, *, last: bool) -> None:
        """What drafts of routes would have done."""
        if taken := self._house.shadows.take(all_=last):
            self._written(lambda: store_shadows(taken), lambda: self._house.shadows.give_back(taken))

    def _written(self, write: Callable[[], None], keep: Callable[[], None] = lambda: None) -> bool:
        """Whether it could be written; if not it is kept for the next time."""
        try:
            write()
        except Error as error:
            close_old_connections()
            keep()
            self._house.jobs.failed("observations", error)
            log.debug("what was seen cannot be written yet", error=str(error)[:300])
            return False
        return True

    def _run(self) -> None:
        try:
            while not self._stopped.wait(PAUSE):
                self._safely(self._turn)
            self._safely(self._last_turn)
        finally:
            connection.close()

    def _safely(self, turn: Callable[[], None]) -> None:
        try:
            turn()
        except Exception:
            close_old_connections()
            log.exception("what is due from time to time has failed")
