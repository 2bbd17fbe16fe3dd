"""Puts on record what a request cost: its lines, their sum, the price it came from; and says so when something is odd.

One per process, used by its loop; `book` is swapped whole when prices change. Nothing here waits.
"""

import threading
import time
from collections.abc import Sequence
from decimal import Decimal

from accounting.money.entry import Entry, Line
from accounting.money.price_book import FAST, PriceBook
from accounting.money.price_store import Unpriced, UnpricedKey
from accounting.money.pricing import price_usage
from accounting.money.usage import Usage
from gateway_project.telemetry import logger
from routing.formats.base import BEDROCK, VERTEX
from routing.targets import ProviderConf

MOST_UNPRICED = 1_000  # models that are remembered until they are written down, and whose alert is out
DIFFERS, DOUBTFUL = "usage_differs", "usage_doubtful"  # reasons of records

log = logger(__name__)


class Billing:
    """`charge` fills an entry; `take` hands over which models had no price."""

    def __init__(self) -> None:
        self.book = PriceBook()
        self._unpriced: dict[UnpricedKey, Unpriced] = {}
        self._told: set[UnpricedKey] = set()
        self._lock = threading.Lock()  # the thread that writes down takes them

    def charge(
        self, entry: Entry, usage: Usage, provider: ProviderConf | None, *, kind: str = "usage", free: bool = False
    ) -> None:
        """Adds what the entry's last upstream call used. `free` is a call that failed before it said anything."""
        lines = self.lines(
            usage,
            entry.provider,
            entry.upstream_model,
            entry.started_at,
            provider,
            kind=kind,
            attempt=len(entry.attempts) - 1,
        )
        if free:
            for line in lines:
                line.cost_usd, line.price = Decimal(0), None
        if usage.doubts:
            entry.reason = entry.reason or (DIFFERS if "metrics_differ" in usage.doubts else DOUBTFUL)
            log.warning(
                "the upstream's usage cannot be believed",
                request_id=entry.request_id,
                provider=entry.provider,
                model=entry.upstream_model,
                doubts=", ".join(usage.doubts),
            )
        entry.estimated = entry.estimated or usage.doubtful
        for line in lines:
            line.estimated = line.estimated or entry.estimated
        fill(entry, lines)

    def lines(
        self,
        usage: Usage,
        provider_name: str,
        model: str,
        at: float,
        provider: ProviderConf | None,
        *,
        kind: str = "usage",
        attempt: int = 0,
    ) -> list[Line]:
        """The priced lines of one call; models without a price are noted."""
        regional = is_regional(provider, model)
        lines = price_usage(usage, provider_name, model, at, self.book, kind=kind, attempt=attempt, regional=regional)
        for line in lines:
            price = line.price or {}
            if price.get("id") is None:
                self._note((provider_name, line.model, False))
            elif usage.speed == FAST and price.get("band") != FAST:
                self._note((provider_name, line.model, True))
        return lines

    def take(self) -> dict[UnpricedKey, Unpriced]:
        """Which models had no price since the last time."""
        if not self._unpriced:
            return {}
        with self._lock:
            taken, self._unpriced = self._unpriced, {}
        return taken

    def give_back(self, taken: dict[UnpricedKey, Unpriced]) -> None:
        """Takes back what could not be written down."""
        with self._lock:
            for key, seen in taken.items():
                now = self._unpriced.setdefault(key, Unpriced())
                now.calls, now.last = now.calls + seen.calls, max(now.last, seen.last)

    def _note(self, key: UnpricedKey) -> None:
        with self._lock:
            if key not in self._unpriced and len(self._unpriced) >= MOST_UNPRICED:
                return
            seen = self._unpriced.setdefault(key, Unpriced())
            seen.calls, seen.last = seen.calls + 1, time.time()
        if key not in self._told and len(self._told) < MOST_UNPRICED:
            self._told.add(key)
            provider, model, fast = key
            text = "the fast mode of a model has no price; its standard price counts"
            log.warning(
                text if fast else "a model has no price; the price of unknown models counts",
                provider=provider,
                model=model,
            )


def fill(entry: Entry, lines: Sequence[Line]) -> None:
    """Adds lines to an entry; its counts and its cost are their sums, its price the first line's."""
    entry.lines = [*entry.lines, *lines]
    first = entry.lines[0]
    entry.price, entry.cost_usd = first.price, first.cost_usd
    entry.tokens_input, entry.tokens_output = first.tokens_input, first.tokens_output
    entry.tokens_cache_read, entry.web_searches = first.tokens_cache_read, first.web_searches
    entry.tokens_cache_write_5m = first.tokens_cache_write_5m
    entry.tokens_cache_write_1h = first.tokens_cache_write_1h
    for number, line in enumerate(entry.lines[1:], 1):
        line.number = number
        entry.cost_usd += line.cost_usd
        entry.tokens_input += line.tokens_input
        entry.tokens_output += line.tokens_output
        entry.tokens_cache_read += line.tokens_cache_read
        entry.tokens_cache_write_5m += line.tokens_cache_write_5m
        entry.tokens_cache_write_1h += line.tokens_cache_write_1h
        entry.web_searches += line.web_searches


def is_regional(provider: ProviderConf | None, model: str) -> bool:
    """Whether a call goes to an endpoint of a cloud that is not its global one."""
    if provider is None:
        return False
    if provider.format == BEDROCK:
        return not model.rpartition("/")[2].startswith("global.")
    return provider.format == VERTEX and provider.region != "global"
