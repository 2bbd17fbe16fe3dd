"""What a process does for versions beside serving: it says which one it serves, and applies proposals whose time has come."""

from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import Error, close_old_connections
from django.utils import timezone

from gateway_project.jobs import JobLog
from gateway_project.telemetry import logger
from routing.versions.fleet import Reporter, Serving
from routing.versions.keeping import current_version
from routing.versions.proposals import run_due

DUE_EVERY = timedelta(seconds=1)

log = logger(__name__)


class Duties:
    """`run` is called over and over by the thread that watches the configuration. While the database is away it does
    nothing, and says so once."""

    def __init__(
        self, server: str, clock: Callable[[], datetime] = timezone.now, *, jobs: JobLog | None = None
    ) -> None:
        self._jobs = jobs or JobLog()
        self._clock = clock
        self._reporter = Reporter(server, clock())
        self._looked_at = clock() - DUE_EVERY
        self._begun = False
        self._away = False

    def run(self, serving: Serving) -> None:
        """One round; `serving` is what the process serves by now."""
        now = self._clock()
        try:
            if not self._begun:
                current_version()  # what there was before versions were kept can be gone back to, too
                self._begun = True
            if serving.version >= 0:
                self._reporter.report(serving, now)
            if now - self._looked_at >= DUE_EVERY:
                self._looked_at = now
                with self._jobs.running("proposals"):
                    run_due(now)
        except Error as error:
            close_old_connections()
            if not self._away:
                log.warning("what this process serves cannot be written", error=str(error)[:300])
            self._away = True
            return
        self._away = False

    def leave(self) -> None:
        """The process ends."""
        try:
            self._reporter.leave()
        except Error as error:
            log.debug("the report of this process cannot be removed", error=str(error)[:300])
