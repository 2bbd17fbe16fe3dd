"""Alerts in a server process: a thread that looks for what is due and sends it. Requests never wait for it."""

import threading
from datetime import UTC, datetime

from django.db import Error, close_old_connections, connection

from accounting.alerting.raising import look
from accounting.alerting.sending import send_due
from gateway_project.jobs import JobLog
from gateway_project.telemetry import logger

PAUSE = 5.0  # seconds

log = logger(__name__)


class RunningAlerts:
    """One of a process; of several processes, one looks at a time, and one sends each message."""

    def __init__(self, jobs: JobLog | None = None, pause: float = PAUSE) -> None:
        self._jobs = jobs or JobLog()
        self._pause = pause
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._away = False

    def start(self) -> None:
        self._stopped.clear()
        self._thread = threading.Thread(target=self._run, name="alerts", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(timeout=2)  # a message that is on its way is claimed, and goes out again later

    def turn(self) -> None:
        """Looks, and sends. While the database is away nothing happens."""
        try:
            with self._jobs.running("deliveries"):
                look(datetime.now(UTC))
                send_due(datetime.now(UTC))
            self._away = False
        except Error as error:
            close_old_connections()
            if not self._away:
                self._away = True
                log.warning("alerts cannot be looked for at the moment", error=str(error)[:300])

    def _run(self) -> None:
        try:
            while not self._stopped.wait(self._pause):
                try:
                    self.turn()
                except Exception:
                    close_old_connections()
                    log.exception("alerts have failed")
        finally:
            connection.close()
