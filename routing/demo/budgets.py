"""The demo's budgets: their amounts follow what was spent, so that one is nearly spent and one used up on whichever day.

They are made by people of the organization, through the one door for changes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_UP, Decimal

from accounting.audit.changes import Actor, changing
from accounting.limits.loading import load_limits
from accounting.limits.periods import DAY, MONTH, QUARTER, TOTAL, WEEK, Period, period_at
from accounting.limits.terms import BudgetTerms
from accounting.models import Budget, Project, Team, User, VirtualKey
from accounting.money.entry import Entry
from routing.demo.keys import COST_CENTERS, USED_UP
from routing.demo.organization import FISCAL_START_MONTH, ZONE
from routing.demo.people import address

LEAST = Decimal("0.25")  # of what the scope has spent in all: a period with less has only just begun
ROOM = Decimal("0.9")  # of a roomy budget was spent in its dearest period
NEARLY_SPENT = Decimal("0.93")


@dataclass(frozen=True, slots=True)
class Plan:
    """One budget. `share` of its amount is spent by now, in the first of `periods` in which enough was; None is a roomy one,
    which no period has used up."""

    scope: str
    name: str  # as requests know it: a team, team/project, an address, team/project/key; empty for the organization
    by: str  # the first name of whoever made it
    share: Decimal | None
    periods: tuple[str, ...] = (MONTH, QUARTER, TOTAL)
    soft: tuple[int, ...] = ()
    hard: bool = False
    carry_over: bool = False
    tag: str = ""

    def covers(self, entry: Entry) -> bool:
        name, _, value = self.tag.partition("=")
        if self.tag and entry.tags.get(name) != value:
            return False
        place = (entry.team, entry.project, entry.key)
        known = {"team": entry.team, "project": "/".join(place[:2]), "key": "/".join(place), "user": entry.user}
        return known.get(self.scope, "") == self.name


HARD_AND_USED_UP = Plan("project", "/".join(USED_UP), "Jean", Decimal("1.16"), soft=(75, 90, 100), hard=True)
PLANS: tuple[Plan, ...] = (
    Plan("organization", "", "Ada", Decimal("0.71"), soft=(50, 80, 100)),
    Plan("team", "platform", "Ada", NEARLY_SPENT, soft=(50, 80, 90), hard=True),
    Plan("team", "research", "Marie", Decimal("1.08"), soft=(50, 80, 100)),
    Plan("team", "support", "Jean", Decimal("0.64"), soft=(75,), hard=True),
    Plan("team", "product", "Margaret", Decimal("0.42"), soft=(50, 80), hard=True, carry_over=True),
    Plan("team", "finance", "Florence", Decimal("0.58"), (QUARTER, TOTAL), soft=(50, 75), hard=True),
    Plan("team", "product", "Margaret", None, (WEEK,), soft=(80,), tag="environment=staging"),
    Plan("organization", "", "Ada", Decimal("0.33"), (QUARTER, TOTAL), tag=f"cost_center={COST_CENTERS['finance']}"),
    Plan("user", address("Emmy"), "Ada", Decimal("0.87"), soft=(80,)),
    Plan("key", "platform/ci/review-bot", "Grace", None, (DAY,), hard=True),
    Plan("team", "labs", "Hideki", None, (MONTH,), soft=(50, 80), hard=True),
)  # fmt: skip


def make_budget(plan: Plan, entries: Sequence[Entry], now: datetime) -> Budget:
    """The budget of a plan, with an amount that fits what was spent."""
    chosen = [entry for entry in entries if plan.covers(entry)]
    period, amount = _terms(plan, chosen, now)
    budget = Budget(
        scope=plan.scope,
        period=period,
        amount=amount,
        soft=list(plan.soft),
        hard=plan.hard,
        carry_over=plan.carry_over and period != TOTAL,
        tag=plan.tag,
        **_owner(plan),
    )
    with changing(Actor(address(plan.by), "user", "10.4.0.12")) as change:
        change.save(budget)
    return budget


def terms_of(budget: Budget) -> BudgetTerms:
    return next(terms for terms in load_limits().budgets if terms.id == budget.pk)


def _terms(plan: Plan, chosen: Sequence[Entry], now: datetime) -> tuple[str, Decimal]:
    """The budget's period and its amount."""
    zone, whole = _zone(plan), sum((entry.cost_usd for entry in chosen), Decimal(0))
    if not whole:
        return plan.periods[0], Decimal(50)
    if plan.share is None:
        return plan.periods[0], _rounded(max(_by_period(chosen, plan.periods[0], zone).values()) / ROOM)
    for kind in plan.periods:
        start = period_at(kind, now.timestamp(), zone, FISCAL_START_MONTH).start
        spent = sum((entry.cost_usd for entry in chosen if entry.started_at >= start), Decimal(0))
        if spent >= whole * LEAST:
            return kind, _rounded(spent / plan.share)
    return plan.periods[-1], _rounded(whole / plan.share)


def _by_period(chosen: Sequence[Entry], kind: str, zone: str) -> dict[Period, Decimal]:
    found: dict[Period, Decimal] = {}
    for entry in chosen:
        period = period_at(kind, entry.started_at, zone, FISCAL_START_MONTH)
        found[period] = found.get(period, Decimal(0)) + entry.cost_usd
    return found


def _rounded(amount: Decimal) -> Decimal:
    """An amount that people would choose, if one is near enough; else whole cents."""
    for step in (100, 50, 10, 5, 1):
        near = (amount / step).to_integral_value() * step
        if near and abs(near - amount) / amount < Decimal("0.02"):
            return near.quantize(Decimal(1))
    return max(Decimal("0.01"), amount.quantize(Decimal("0.01"), ROUND_UP))


def _zone(plan: Plan) -> str:
    """The zone in which the budget's periods begin."""
    team = Team.objects.filter(name=plan.name.partition("/")[0]).first()
    return team.timezone if team and plan.scope in ("team", "project", "key") else ZONE


def _owner(plan: Plan) -> dict[str, Team | Project | User | VirtualKey]:
    team, _, rest = plan.name.partition("/")
    project, _, key = rest.partition("/")
    match plan.scope:
        case "team":
            return {"team": Team.objects.get(name=team)}
        case "project":
            return {"project": Project.objects.get(team__name=team, name=project)}
        case "key":
            return {"key": VirtualKey.objects.get(project__team__name=team, project__name=project, name=key)}
        case "user":
            return {"user": User.objects.get(email=plan.name)}
    return {}
