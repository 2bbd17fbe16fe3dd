"""What runs beside the requests, and how each of these jobs last went in one process.

Whoever runs a job says so to the process's `JobLog`; the process tells all of it from time to time, together with the
version that it serves, and the console puts the processes' words together. A new job has its line in `JOBS`.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

LONGEST_WORDS = 300


@dataclass(frozen=True, slots=True)
class Job:
    """`every` is how many seconds apart it runs in at least one process; None: only when there is something to do."""

    name: str
    what: str
    every: float | None = None


JOBS: tuple[Job, ...] = (
    Job("records", "Stores the records of finished requests", 2.0),
    Job("configuration", "Looks for changes of configuration, keys, limits and prices", 0.25),
    Job("proposals", "Applies approved changes when their time comes", 1.0),
    Job("limits", "Compares the counters of limits with the ledger", 60.0),
    Job("alerts", "Looks for budgets that reach a soft limit", 5.0),
    Job("deliveries", "Looks for what alerts watch, and sends their messages", 5.0),
    Job("requests", "Closes requests for more whose time is over", 60.0),
    Job("observations", "Writes down how targets are doing, what had no price, what drafts would have done", 1.0),
    Job("checks", "Asks idle providers for one token, where they want it"),
    Job("tokens", "Fetches the tokens of providers' credentials"),
    Job("batches", "Reads the usage of message batches that have ended"),
    Job("sharing", "Shares the state of targets between processes, through Redis"),
)


class JobLog:
    """One process's jobs, by name. Written by several threads, each its own jobs; read by one."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._last: dict[str, dict[str, Any]] = {}

    def done(self, name: str, words: str = "") -> None:
        """The job has run, and went well. `words` are worth knowing."""
        now = self._clock()
        self._last[name] = {"at": now, "ok": True, "ok_at": now, "words": words[:LONGEST_WORDS]}

    def failed(self, name: str, error: object) -> None:
        """The job has run, and did not get done."""
        before = self._last.get(name, {})
        words = (str(error) or type(error).__name__).strip()[:LONGEST_WORDS]
        self._last[name] = {"at": self._clock(), "ok": False, "ok_at": before.get("ok_at"), "words": words}

    @contextmanager
    def running(self, name: str) -> Iterator[None]:
        """The job runs inside: what it raises makes it one that failed."""
        try:
            yield
        except Exception as error:
            self.failed(name, error)
            raise
        self.done(name)

    def told(self) -> dict[str, dict[str, Any]]:
        """How each went the last time that it ran, as JSON; times are Unix times."""
        return dict(self._last)
