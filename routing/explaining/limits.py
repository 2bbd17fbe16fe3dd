"""The limits of a caller for one request, with their numbers, for people. Nothing is reserved."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from accounting.access.directory import Directory
from accounting.access.grant import Grant
from accounting.limits.admission import Admission, Demand
from accounting.limits.book import BudgetLine, RateLine
from accounting.limits.counters import Verdict, Wish, verdict, wanted
from accounting.limits.periods import NEVER
from accounting.limits.standing import BudgetStanding, standings, used_now
from accounting.limits.terms import dollars_of
from accounting.money.price_book import number
from routing.explaining.explanation import LimitLine
from routing.formats.base import COUNT_TOKENS, Inbound
from routing.targets import TargetConf

_ONE = Wish()  # counts as one call

LimitsOf = Callable[[Grant, Inbound, Sequence[TargetConf]], tuple[LimitLine, ...]]


def limits_of(directory: Directory, now: float, admission: Admission | None = None) -> LimitsOf:
    """How the limits of a caller stand at a Unix time. `targets` are all that may serve the request; `admission` is the
    running gateway's, which knows what such a request would reserve."""

    def lines(grant: Grant, inbound: Inbound, targets: Sequence[TargetConf]) -> tuple[LimitLine, ...]:
        limits = directory.limits.of(grant)
        if inbound.operation == COUNT_TOKENS:
            rates = limits.counting().rates
            return tuple(_rate(line, used) for line, used in zip(rates, used_now(rates), strict=True))
        demand = Demand(
            limits,
            inbound.model,
            tuple(target.key for target in targets),
            stream=inbound.stream,
            size=len(inbound.body),
            max_tokens=inbound.max_tokens,
            now=now,
        )
        plan = limits.plan(demand.model, demand.targets, stream=inbound.stream, now=now)
        wish = admission.wish(demand) if admission is not None else Wish(1, 1)
        budgets = standings([line.terms for line in plan.budgets], now=now)
        found = [_budget(line, standing, wish) for line, standing in zip(plan.budgets, budgets, strict=True)]
        used = used_now(plan.rates)
        return (*found, *(_rate(line, each, wish) for line, each in zip(plan.rates, used, strict=True)))

    return lines


def _budget(line: BudgetLine, standing: BudgetStanding, wish: Wish) -> LimitLine:
    used = f"${number(dollars_of(standing.spent))}"
    if standing.reserved:
        used += f" and ${number(dollars_of(standing.reserved))} reserved"
    resets = ""
    if line.period.end != NEVER:
        resets = datetime.fromtimestamp(line.period.end, UTC).astimezone(ZoneInfo(line.terms.zone)).isoformat()
    return LimitLine(
        scope=_scope(str(line.terms.scope), line.terms.tag),
        what=_what(f"budget of a {line.terms.period}" if line.terms.period != "total" else "budget", line.terms.model),
        limit=f"${number(dollars_of(standing.limit))}",
        used=used,
        remaining=f"${number(dollars_of(standing.remaining))}",
        resets_at=resets,
        hard=line.hard,
        refuses=verdict(line, wish, standing.spent, standing.reserved, standing.limit) is Verdict.STOPS,
        reason="budget_exceeded",
    )


def _rate(line: RateLine, used: int | None, wish: Wish = _ONE) -> LimitLine:
    return LimitLine(
        scope=_scope(str(line.terms.scope), line.terms.tag),
        what=_what(line.kind.replace("_", " "), line.terms.model),
        limit=str(line.limit),
        used="not known here" if used is None else str(used),
        remaining="" if used is None else str(max(0, line.limit - used)),
        refuses=used is not None and used + wanted(line, wish) > line.limit,
        reason="too_many_concurrent" if line.kind.startswith("concurrent") else "rate_limited",
    )


def _scope(scope: str, tag: str) -> str:
    return f"{scope}, keys tagged {tag}" if tag else scope


def _what(what: str, model: str) -> str:
    return f"{what} for {model}" if model else what
