"""Soft limits: one alert for each percentage of a budget that is reached in a period, written once, whoever notices."""

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from django.db import IntegrityError, transaction

from accounting.limits.book import LimitBook
from accounting.limits.standing import BudgetStanding, standings
from accounting.limits.terms import dollars_of
from accounting.models import BudgetAlert
from gateway_project.telemetry import logger

LOOK_EVERY = 5.0  # seconds

log = logger(__name__)


class Alerts:
    """One of a process, used by one thread."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._raised: set[tuple[int, int, int]] = set()

    def look(self, book: LimitBook) -> Sequence[BudgetAlert]:
        """Writes the alerts that are due and not written yet; returns them. Raises `django.db.Error`."""
        now = self._clock()
        soft = [terms for terms in book.budgets if terms.soft]
        due: set[tuple[int, int, int]] = set()
        written: list[BudgetAlert] = []
        for standing in standings(soft, now=now):
            if not standing.live:
                return written  # the counters are away; they tell when they are back
            for threshold in standing.line.terms.soft:
                if standing.spent * 100 < standing.limit * threshold:
                    break
                mark = (standing.line.terms.id, standing.line.period.start, threshold)
                due.add(mark)
                if mark not in self._raised and (alert := _write(standing, threshold, now)):
                    written.append(alert)
        self._raised = due
        return written


def _write(standing: BudgetStanding, threshold: int, now: float) -> BudgetAlert | None:
    terms = standing.line.terms
    alert = BudgetAlert(
        budget_id=terms.id,
        period_start=datetime.fromtimestamp(standing.line.period.start, UTC),
        threshold=threshold,
        at=datetime.fromtimestamp(now, UTC),
        spent=dollars_of(standing.spent),
        limit=dollars_of(standing.limit),
    )
    try:
        with transaction.atomic():
            if BudgetAlert.objects.filter(
                budget_id=terms.id, period_start=alert.period_start, threshold=threshold
            ).exists():
                return None
            alert.save(force_insert=True)
    except IntegrityError:
        return None  # another process was faster, or the budget is gone
    log.warning(
        "a budget has reached a soft limit",
        scope=str(terms.scope),
        period=terms.period,
        threshold=threshold,
        spent_usd=str(alert.spent),
        limit_usd=str(alert.limit),
    )
    return alert
