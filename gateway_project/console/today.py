"""Today against yesterday up to the same time of day, out of roll-ups. A day is one of the organization's time zone."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from accounting.models import OrganizationSettings
from accounting.money.periods import ceiling
from accounting.money.reports import Question, usage


@dataclass(frozen=True, slots=True)
class Figures:
    spent: Decimal = Decimal(0)
    requests: int = 0
    errors: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Today:
    now: Figures
    yesterday: Figures
    zone: str


def read_today(now: datetime) -> Today:
    """Three queries. Only the last piece of an hour of yesterday is taken from the ledger itself."""
    zone = OrganizationSettings.objects.values_list("timezone", flat=True).first() or "UTC"
    local = now.astimezone(ZoneInfo(zone))
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    day_before = timedelta(days=1)  # of the clock on the wall: the same zone on both sides
    today = Question(since=midnight, until=ceiling(now, "hour"))
    yesterday = Question(since=midnight - day_before, until=local - day_before)
    return Today(_figures(today), _figures(yesterday), zone)


def _figures(question: Question) -> Figures:
    rows, _ = usage(question)
    if not rows:
        return Figures()
    sums = rows[0].sums
    counts = [int(sums[name]) for name in ("requests", "errors", "refused")]
    return Figures(Decimal(sums["cost_usd"]), *counts)
