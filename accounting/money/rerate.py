"""Other prices for a period that is over: what difference they make, and the adjustments that put it into the ledger.

Nothing is rewritten. An adjustment is a line of its own, one for each line whose cost differs, worth the difference to what
the line and its earlier adjustments come to; so running it again adds nothing. It is done in small transactions, one after
the other, and traffic goes on beside it; what is interrupted is completed by the next run.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import Q

from accounting.audit.changes import Actor, changing
from accounting.models import LedgerEntry, Rerating
from accounting.models.ledger import ADJUSTMENT
from accounting.models.money import UNIT
from accounting.money.bulk import Correction, insert_adjustments
from accounting.money.dialect import RATING, lock_alone, lock_shared
from accounting.money.rollups import add_stored

AT_ONCE = 500  # lines in one transaction


@dataclass(frozen=True, slots=True)
class Repriced:
    """What a line costs, and the price that says so."""

    cost: Decimal
    price: dict[str, Any] | None


Reprice = Callable[[LedgerEntry], Repriced | None]  # None: the line stays as it is


@dataclass(frozen=True, slots=True)
class Scope:
    """Which lines: of requests that started from `since` up to `until`, of a provider and a model if they are named."""

    since: datetime
    until: datetime
    provider: str = ""
    model: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """What other prices come to for a team's use of a model: lines that change, dollars before and after of those."""

    team: str
    model: str
    lines: int = 0
    before: Decimal = Decimal(0)
    after: Decimal = Decimal(0)

    @property
    def difference(self) -> Decimal:
        return self.after - self.before


@dataclass(frozen=True, slots=True)
class _Differing:
    """A line that costs something else by the other prices."""

    line: LedgerEntry
    before: Decimal
    after: Repriced
    free_number: int


def compare(scope: Scope, reprice: Reprice) -> list[Change]:
    """What would change, by team and model. Reads every line of the period once, and writes nothing."""
    found: dict[tuple[str, str], Change] = {}
    for lines in _chunks(scope):
        _count(found, _differing(lines, reprice))
    return [found[key] for key in sorted(found)]


def rerate(
    actor: Actor, scope: Scope, reprice: Reprice, *, reason: str, now: datetime
) -> tuple[Rerating, list[Change]]:
    """Adds the adjustments; what was done, also by team and model. It is in the audit log from its beginning on.

    Raises ValidationError for a period that ends before it begins or a reason that is missing.
    """
    run = Rerating(
        since=scope.since,
        until=scope.until,
        provider=scope.provider,
        model=scope.model,
        reason=reason,
        actor=actor.name,
    )
    with changing(actor) as change:
        change.save(run)
    found: dict[tuple[str, str], Change] = {}
    for lines in _chunks(scope):
        with transaction.atomic():
            lock_alone(RATING)
            lock_shared()
            differing = _differing(lines, reprice)
            _adjust(run, differing, now)
        _count(found, differing)
    run.lines = sum(each.lines for each in found.values())
    run.difference_usd = sum((each.difference for each in found.values()), Decimal(0))
    run.finished_at = now
    with changing(actor) as change:
        change.save(run, action="applied")
    return run, [found[key] for key in sorted(found)]


def _chunks(scope: Scope) -> Iterator[list[LedgerEntry]]:
    """The lines, oldest first; adjustments are not among them."""
    chosen = LedgerEntry.objects.filter(at__gte=scope.since, at__lt=scope.until).exclude(kind=ADJUSTMENT)
    if scope.provider:
        chosen = chosen.filter(provider=scope.provider)
    if scope.model:
        chosen = chosen.filter(model=scope.model)
    rest = chosen
    while lines := list(rest.order_by("at", "id")[:AT_ONCE]):
        yield lines
        last = lines[-1]
        rest = chosen.filter(Q(at__gt=last.at) | Q(at=last.at, id__gt=last.pk), at__gte=last.at)


def _differing(lines: Sequence[LedgerEntry], reprice: Reprice) -> list[_Differing]:
    others = LedgerEntry.objects.filter(request_id__in={line.request_id for line in lines})
    adjusted: dict[tuple[str, int], Decimal] = {}
    free: dict[str, int] = {}
    for name, number, adjusts, cost in others.values_list("request_id", "number", "adjusts", "cost_usd"):
        free[name] = max(free.get(name, 0), number + 1)
        if adjusts is not None:
            adjusted[name, adjusts] = adjusted.get((name, adjusts), Decimal(0)) + cost
    found = []
    for line in lines:
        after = _kept(reprice(line))
        before = line.cost_usd + adjusted.get((line.request_id, line.number), Decimal(0))
        if after is not None and after.cost != before:
            found.append(_Differing(line, before, after, free[line.request_id]))
            free[line.request_id] += 1
    return found


def _kept(repriced: Repriced | None) -> Repriced | None:
    """With the places that are stored: what is finer would differ again the next time."""
    return None if repriced is None else Repriced(repriced.cost.quantize(UNIT), repriced.price)


def _adjust(run: Rerating, differing: Sequence[_Differing], now: datetime) -> None:
    corrections = [
        Correction(each.line.pk, each.free_number, each.after.cost - each.before, each.after.price)
        for each in differing
    ]
    if made := insert_adjustments(corrections, run, now):
        add_stored((), made, bounded=True)


def _count(found: dict[tuple[str, str], Change], differing: Sequence[_Differing]) -> None:
    for each in differing:
        key = (each.line.team, each.line.model)
        known = found.get(key) or Change(*key)
        found[key] = replace(
            known, lines=known.lines + 1, before=known.before + each.before, after=known.after + each.after.cost
        )
