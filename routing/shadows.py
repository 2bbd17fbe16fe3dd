"""Draft routes beside live ones: where they would have sent each request, and what that would have cost.

The gateway's path decides a second time, without side effects, and counts in memory; a thread writes the counts.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import F, Value

from accounting.access.grant import Grant
from accounting.models.money import MoneyField
from accounting.money.entry import Entry
from accounting.money.price_book import PriceBook
from accounting.money.pricing import price_usage, total_of
from accounting.money.usage import Usage
from routing.decide import able, choose_route, sticky_key
from routing.facts import facts_of
from routing.formats.base import Inbound
from routing.models import Shadow, ShadowCount
from routing.proxy.errors import GatewayError
from routing.resolve import resolve
from routing.snapshot import ShadowConf, Snapshot
from routing.targets import HealthView, TargetConf

MOST_KINDS = 5_000  # of ways of a request that one process tells apart between two writes
PAUSE = 1.0  # seconds between two writes


@dataclass(frozen=True, slots=True)
class Shadowed:
    """Where a draft would have sent one request: a target, or the reason of its refusal."""

    shadow: int
    target: TargetConf | None
    reason: str = ""


def shadowed(
    conf: ShadowConf,
    inbound: Inbound,
    grant: Grant,
    snapshot: Snapshot,
    health: HealthView,
    *,
    now: float,
    random: Callable[[], float],
) -> Shadowed:
    """Where the draft would send this request. Changes nothing, and never raises what it would have refused with."""
    route = choose_route(conf.draft, snapshot, lambda: facts_of(inbound, grant)).route
    sticky = sticky_key(route, inbound.session_id, grant.key_prefix)
    try:
        resolution = able(inbound, resolve(route, sticky_key=sticky, health=health, now=now, random=random), snapshot)
    except GatewayError as error:
        return Shadowed(conf.id, None, error.reason)
    return Shadowed(conf.id, resolution.candidates[0].target)


@dataclass(frozen=True, slots=True)
class Way:
    """What one count is kept of."""

    shadow: int
    team: str
    live_provider: str
    live_model: str
    draft_provider: str = ""
    draft_model: str = ""
    draft_reason: str = ""


@dataclass(slots=True)
class Tally:
    """How many requests went this way, what they cost, and what they would have cost."""

    requests: int = 0
    live_cost: Decimal = Decimal(0)
    draft_cost: Decimal = Decimal(0)


class Shadows:
    """One process's counts until they are written. Thread-safe, and bounded."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._ways: dict[Way, Tally] = {}
        self._taken_at = -PAUSE

    def count(self, found: Shadowed, entry: Entry, usage: Usage | None, book: PriceBook) -> None:
        """A request has ended; `usage` is what it used, priced again for the target that the draft chose."""
        target = found.target
        where = (target.provider.name, target.model) if target is not None else ("", "")
        way = Way(found.shadow, entry.team, entry.provider, entry.upstream_model, *where, found.reason)
        cost = Decimal(0)
        if usage is not None and target is not None and entry.cost_usd:
            cost = total_of(price_usage(usage, *where, entry.started_at, book))
        with self._lock:
            if way not in self._ways and len(self._ways) >= MOST_KINDS:
                return
            tally = self._ways.setdefault(way, Tally())
            tally.requests += 1
            tally.live_cost += entry.cost_usd
            tally.draft_cost += cost

    def take(self, *, all_: bool = False) -> Mapping[Way, Tally]:
        """What has been counted since the last time, at most once a second."""
        now = self._clock()
        if not self._ways or (now - self._taken_at < PAUSE and not all_):
            return {}
        with self._lock:
            taken, self._ways, self._taken_at = self._ways, {}, now
        return taken

    def give_back(self, taken: Mapping[Way, Tally]) -> None:
        """Takes back what could not be written."""
        with self._lock:
            for way, tally in taken.items():
                kept = self._ways.setdefault(way, Tally())
                kept.requests += tally.requests
                kept.live_cost += tally.live_cost
                kept.draft_cost += tally.draft_cost


def store_shadows(taken: Mapping[Way, Tally], now: datetime | None = None) -> None:
    """Adds counts to their rows, all or none; those of a shadow that is gone are dropped."""
    at = now or datetime.now(UTC)
    with transaction.atomic():
        known = set(Shadow.objects.filter(pk__in={way.shadow for way in taken}).values_list("pk", flat=True))
        for way, tally in sorted(taken.items(), key=lambda item: _order(item[0])):
            if way.shadow not in known:
                continue
            row, _ = ShadowCount.objects.get_or_create(
                shadow_id=way.shadow,
                team=way.team,
                live_provider=way.live_provider,
                live_model=way.live_model,
                draft_provider=way.draft_provider,
                draft_model=way.draft_model,
                draft_reason=way.draft_reason[:60],
                defaults={"last_at": at},
            )
            ShadowCount.objects.filter(pk=row.pk).update(
                requests=F("requests") + tally.requests,
                live_cost=F("live_cost") + Value(tally.live_cost, MoneyField()),
                draft_cost=F("draft_cost") + Value(tally.draft_cost, MoneyField()),
                last_at=at,
            )


def _order(way: Way) -> tuple[Any, ...]:
    return (way.shadow, way.team, way.live_provider, way.live_model, way.draft_provider, way.draft_model)


@dataclass(frozen=True, slots=True)
class ShadowReport:
    """What a draft would have done. `moved` of `requests` would have gone elsewhere, `refused` of them nowhere."""

    rows: Sequence[ShadowCount]
    requests: int
    moved: int
    refused: int
    live_cost: Decimal
    draft_cost: Decimal

    @property
    def difference(self) -> Decimal:
        return self.draft_cost - self.live_cost


MOST_ROWS = 1_000


def report_of(shadow: Shadow) -> ShadowReport:
    """What is known of a shadow so far."""
    rows = list(shadow.counts.order_by("-requests", "pk")[:MOST_ROWS])
    elsewhere = [row for row in rows if (row.live_provider, row.live_model) != (row.draft_provider, row.draft_model)]
    return ShadowReport(
        rows,
        requests=sum(row.requests for row in rows),
        moved=sum(row.requests for row in elsewhere if not row.draft_reason),
        refused=sum(row.requests for row in elsewhere if row.draft_reason),
        live_cost=sum((row.live_cost for row in rows), Decimal(0)),
        draft_cost=sum((row.draft_cost for row in rows), Decimal(0)),
    )
