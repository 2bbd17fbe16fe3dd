"""What one process has seen of compatibility since it last told the database: values left out, betas refused.

The gateway's path only counts in memory; a thread writes now and then (`routing.compatibility.store_observations`).
Clients choose the values, so everything here is bounded.
"""

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from gateway_project.telemetry import logger
from routing.formats.base import Outbound
from routing.formats.compat import BETA, FIELD
from routing.formats.wording import scrub
from routing.targets import TargetConf

MOST_VALUES = 1_000  # that are told apart in one process; what comes later is counted under OTHERS
OTHERS = "(others)"
LONGEST_NAME = 200
LONGEST_WORDS = 1_000
PAUSE = 5.0  # seconds between two writes of mere counts; something new is written at once

log = logger(__name__)


@dataclass(frozen=True, slots=True, order=True)
class Value:
    """A beta or a feature of the body, on its way to a model of an upstream format."""

    kind: str
    name: str
    upstream_format: str
    model: str


@dataclass(frozen=True, slots=True)
class Seen:
    """How often, and in which words an upstream refused it (empty for what the gateway left out)."""

    count: int
    first: datetime
    last: datetime
    words: str = ""

    def plus(self, other: "Seen") -> "Seen":
        newer = other if other.last >= self.last else self
        first, last = min(self.first, other.first), max(self.last, other.last)
        words = newer.words or self.words or other.words
        return Seen(self.count + other.count, first, last, words)


Tally = dict[Value, Seen]


@dataclass(frozen=True, slots=True)
class Batch:
    """What has not been written yet."""

    removed: Tally = field(default_factory=dict)
    refused: Tally = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.removed or self.refused)


class Observations:
    """Thread-safe, and bounded whatever clients send."""

    def __init__(
        self, *, clock: Callable[[], float] = time.monotonic, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._clock = clock
        self._now = now
        self._lock = threading.Lock()
        self._removed: Tally = {}
        self._refused: Tally = {}
        self._known: set[tuple[bool, Value]] = set()
        self._logged: set[tuple[str, str, str]] = set()
        self._new = False
        self._taken = clock()

    def removed(self, target: TargetConf, outbound: Outbound) -> None:
        """Counts what was left out of a request, and logs each value once for each upstream format."""
        self._leave_out(BETA, outbound.betas_removed, target)
        self._leave_out(FIELD, outbound.fields_removed, target)

    def refused(self, beta: str, target: TargetConf, text: str) -> None:
        """Counts that an upstream refused a beta; its words are kept without account details."""
        name = beta[:LONGEST_NAME]
        provider = target.provider
        value = Value(BETA, name, provider.format, target.model)
        words = "" if self._has_words(value) else scrub(text[: 2 * LONGEST_WORDS])[:LONGEST_WORDS]
        if self._first("refused", provider.format, name):
            log.warning(
                "upstream refused a beta", beta=name, provider=provider.name, model=target.model, text=words[:300]
            )
        self._count(value, words)

    def _has_words(self, value: Value) -> bool:
        """Whether words for this value wait to be written, or none will be: cleaning them costs more than counting."""
        with self._lock:
            full = len(self._known) >= MOST_VALUES and (True, value) not in self._known
            return full or value in self._refused

    def _leave_out(self, kind: str, names: Iterable[str], target: TargetConf) -> None:
        upstream = target.provider.format
        for name in names:
            shown = name[:LONGEST_NAME]
            if self._first(kind, upstream, shown):
                log.info("left out for an upstream that does not take it", kind=kind, name=shown, upstream=upstream)
            self._count(Value(kind, shown, upstream, target.model))

    def _first(self, *what: str) -> bool:
        """Whether this is to be logged: the first time, as long as there is room to remember it."""
        key = (what[0], what[1], what[2])
        with self._lock:
            if key in self._logged or len(self._logged) >= MOST_VALUES:
                return False
            self._logged.add(key)
            return True

    def _count(self, value: Value, words: str | None = None) -> None:
        """With `words`, a refusal. What comes beyond the bound is counted with the others; a refusal is passed over."""
        now = self._now()
        with self._lock:
            refusal = words is not None
            tally = self._refused if refusal else self._removed
            if (refusal, value) not in self._known:
                if len(self._known) < MOST_VALUES:
                    self._known.add((refusal, value))
                    self._new = True
                elif refusal:
                    return
                else:
                    value = replace(value, name=OTHERS, model="")
            seen = Seen(1, now, now, words or "")
            before = tally.get(value)
            tally[value] = before.plus(seen) if before else seen

    def take(self) -> Batch:
        """What is to be written now: everything when something is new or the pause is over, else nothing."""
        with self._lock:
            if not (self._new or self._clock() - self._taken >= PAUSE):
                return Batch()
            return self._take()

    def take_all(self) -> Batch:
        """Everything that is not written yet."""
        with self._lock:
            return self._take()

    def _take(self) -> Batch:
        batch = Batch(self._removed, self._refused)
        self._removed, self._refused = {}, {}
        self._new, self._taken = False, self._clock()
        return batch

    def give_back(self, batch: Batch) -> None:
        """Takes back what could not be written; it is offered again after the pause."""
        with self._lock:
            for mine, theirs in ((self._removed, batch.removed), (self._refused, batch.refused)):
                for value, seen in theirs.items():
                    mine[value] = seen.plus(mine[value]) if value in mine else seen
