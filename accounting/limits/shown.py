"""Limits as pages show them: everything that applies to a team and its reader, with what is used now."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from django.db.models import Case, IntegerField, Q, QuerySet, Value, When

from accounting.limits.book import RateLine
from accounting.limits.loading import budget_terms, organization_terms, rate_terms
from accounting.limits.standing import BudgetStanding, standings, used_now
from accounting.limits.terms import CONCURRENT, dollars_of
from accounting.models import Budget, OrganizationSettings, RateLimit, Team, User

_PARENTS = ("team", "project__team", "user", "key__project__team")
_RANKS = ("organization", "team", "user", "project", "key")
_ORDER = ("rank", "project__name", "key__project__name", "key__name", "model", "tag", "id")
SOON = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class ShownBudget:
    """A budget with how it stands. Amounts are dollars; shares are of the limit, 1 is all of it."""

    row: Budget
    standing: BudgetStanding
    now: datetime

    @property
    def spent(self) -> Decimal:
        return dollars_of(self.standing.spent)

    @property
    def reserved(self) -> Decimal:
        return dollars_of(self.standing.reserved)

    @property
    def limit(self) -> Decimal:
        return dollars_of(self.standing.limit)

    @property
    def remaining(self) -> Decimal:
        return dollars_of(self.standing.remaining)

    @property
    def raised(self) -> Decimal | None:
        """What a raise adds now."""
        return dollars_of(self._raise) if self._raise else None

    @property
    def raise_to_come(self) -> bool:
        until = self.row.raise_until
        return until is not None and until > self.now

    @property
    def carried(self) -> Decimal:
        """What the period before has left over."""
        return dollars_of(max(0, self.standing.limit - self.standing.line.limit))

    @property
    def begins(self) -> datetime | None:
        period = self.standing.line.period
        return datetime.fromtimestamp(period.start, UTC) if period.end else None

    @property
    def ends(self) -> datetime | None:
        end = self.standing.line.period.end
        return datetime.fromtimestamp(end, UTC) if end else None

    @property
    def share(self) -> float:
        return self.standing.spent / self.standing.limit if self.standing.limit else 1.0

    @property
    def percent(self) -> int:
        return int(100 * self.share)

    @property
    def tone(self) -> str:
        if self.share >= 1:
            return "bad"
        warns = self.standing.line.terms.soft or (80,)
        return "warn" if any(100 * self.share >= each for each in warns) else "good"

    @property
    def passed(self) -> int | None:
        """The highest soft limit that is reached."""
        return max((each for each in self.standing.line.terms.soft if 100 * self.share >= each), default=None)

    def until(self) -> datetime:
        """The end that somebody who asks for more most likely means: the period's, or in a week."""
        return self.ends or (self.now + SOON).replace(minute=0, second=0, microsecond=0)

    @property
    def _raise(self) -> int:
        return max(0, self.standing.line.limit - self.standing.line.amount)


@dataclass(frozen=True, slots=True)
class ShownRate:
    """A rate limit with how much of it is used; `used` is None where no counters are at hand."""

    row: RateLimit
    line: RateLine
    used: int | None

    @property
    def at_a_time(self) -> bool:
        return self.row.kind in CONCURRENT

    @property
    def share(self) -> float:
        return (self.used or 0) / self.line.limit

    @property
    def remaining(self) -> int | None:
        return None if self.used is None else max(0, self.line.limit - self.used)


def _of_team(team: Team, reader: User) -> Q:
    """What applies to a team and to one reader's requests."""
    theirs = Q(team=team) | Q(project__team=team) | Q(key__project__team=team)
    return theirs | Q(scope="organization") | Q(user=reader)


def _rank() -> Case:
    whens = [When(scope=scope, then=Value(rank)) for rank, scope in enumerate(_RANKS)]
    return Case(*whens, default=Value(len(_RANKS)), output_field=IntegerField())


def budgets_for(team: Team, reader: User) -> "QuerySet[Budget]":
    """The budgets in use of the organization, the team, its projects and keys, and the reader's own; widest first."""
    rows = Budget.objects.filter(_of_team(team, reader), enabled=True).select_related(*_PARENTS)
    return rows.annotate(rank=_rank()).order_by(*_ORDER)


def rates_for(team: Team, reader: User) -> "QuerySet[RateLimit]":
    """The same of rate limits."""
    rows = RateLimit.objects.filter(_of_team(team, reader), enabled=True).select_related(*_PARENTS)
    return rows.annotate(rank=_rank()).order_by(*_ORDER)


def show_budgets(rows: Sequence[Budget], now: datetime) -> list[ShownBudget]:
    """How these budgets stand now, in their order."""
    terms = list(budget_terms(rows, organization_terms(OrganizationSettings.objects.first())))
    found = standings(terms, now=now.timestamp())
    return [ShownBudget(row, standing, now) for row, standing in zip(rows, found, strict=True)]


def show_rates(rows: Sequence[RateLimit]) -> list[ShownRate]:
    """How much of these rate limits is used now, in their order."""
    lines = [RateLine(terms, f"r:{terms.id}", terms.amount, terms.kind) for terms in rate_terms(rows)]
    used = used_now(lines)
    return [ShownRate(row, line, each) for row, line, each in zip(rows, lines, used, strict=True)]
