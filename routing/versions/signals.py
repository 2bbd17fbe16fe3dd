"""Tells other processes through Redis that a revision has moved, so that they look at once instead of at the next poll.

Only a hint: a message that is lost costs a quarter of a second, and without Redis nothing is said at all.
"""

import threading
from collections.abc import Callable

from django.conf import settings
from django.db import transaction

from accounting.audit.changes import ChangeSet, follow
from accounting.models import Revision
from gateway_project.telemetry import logger

CHANNEL = "gateway:configuration"
PATIENCE = 0.5  # seconds that a change may wait for Redis
PAUSE = 2.0  # seconds between two tries to listen
SILENCE = 1.0  # seconds after which the listener looks whether it should stop

log = logger(__name__)


def start() -> None:
    """From now on every transaction that moves a revision is signalled when it is committed."""
    for revision in (Revision.DIRECTORY, Revision.ROUTING):
        follow(revision, "signals", _signal)


def _signal(change: ChangeSet) -> None:
    if settings.REDIS_URL:
        transaction.on_commit(_publish, robust=True)


def _publish() -> None:
    import redis  # where it is needed only: it would slow down every command

    try:
        with redis.Redis.from_url(
            settings.REDIS_URL, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE
        ) as client:
            client.publish(CHANNEL, b"")
    except redis.RedisError as error:
        log.warning("a change cannot be signalled; processes notice it by themselves", error=str(error)[:200])


class Ear:
    """A thread that calls `wake` when a change is signalled. Without an address it does nothing."""

    def __init__(self, url: str, wake: Callable[[], None]) -> None:
        self._url = url
        self._wake = wake
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._away = False

    def start(self) -> None:
        if self._url:
            self._thread = threading.Thread(target=self._run, name="signals", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Ends it; waits for at most as long as it takes to notice."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(PATIENCE + SILENCE)

    def _run(self) -> None:
        import redis

        while not self._stopped.is_set():
            try:
                self._listen()
            except (redis.RedisError, OSError) as error:
                if not self._away:
                    self._away = True
                    log.warning("signals of changes cannot be heard; polling goes on", error=str(error)[:200])
                self._stopped.wait(PAUSE)

    def _listen(self) -> None:
        import redis

        with redis.Redis.from_url(self._url, socket_connect_timeout=PATIENCE) as client, client.pubsub() as heard:
            heard.subscribe(CHANNEL)
            while not self._stopped.is_set():
                message = heard.get_message(timeout=SILENCE)
                if message is None:
                    continue
                if self._away:
                    self._away = False
                    log.info("signals of changes are heard again")
                self._wake()
