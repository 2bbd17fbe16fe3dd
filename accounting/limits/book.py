"""All limits as one frozen picture, and which of them apply to a caller and a request. No I/O; see `loading`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from accounting.access.grant import Grant
from accounting.access.patterns import matches
from accounting.limits.periods import NEVER, Period, period_at, period_before
from accounting.limits.terms import (
    CONCURRENT,
    CONCURRENT_STREAMS,
    COUNTS,
    DEFAULTS,
    EVERYTHING,
    INPUT_TOKENS,
    KEY,
    ORGANIZATION,
    OUTPUT_TOKENS,
    PROJECT,
    TEAM,
    USER,
    BudgetTerms,
    OrganizationTerms,
    RateTerms,
    Scope,
)

COUNTS_PER_MINUTE = 600  # calls of count_tokens, by key
MOST_CALLERS = 20_000  # whose limits are remembered
MOST_PLANS = 256  # of one caller: clients choose the names of models, so the number is bounded
_DAY = 86_400

Tags = Mapping[str, str]
Targets = tuple[tuple[str, str], ...]  # provider, upstream model


@dataclass(frozen=True, slots=True)
class BudgetLine:
    """One budget in one period. `before` is the counter of the period whose unspent part is carried over, or empty.

    `amount` is what one period has; `limit` that and what a raise adds, nano-dollars both.
    """

    terms: BudgetTerms
    period: Period
    key: str
    amount: int
    limit: int
    before: str = ""
    lifetime: int = 0  # seconds that the counter is worth keeping; 0: always
    hard: bool = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "hard", self.terms.hard)


@dataclass(frozen=True, slots=True)
class RateLine:
    """One rate limit with the name of its counter. `slot`: it counts what runs; `of_tokens`: it counts tokens."""

    terms: RateTerms
    key: str
    limit: int
    kind: str
    slot: bool = field(init=False, compare=False)
    of_tokens: bool = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "slot", self.kind in CONCURRENT)
        object.__setattr__(self, "of_tokens", self.kind in (INPUT_TOKENS, OUTPUT_TOKENS))


class Charges(NamedTuple):
    """What a request that a certain model has served counts towards: budgets (counter, lifetime in seconds), and each limit
    of tokens that it was admitted under, with whether it is one of that model."""

    budgets: tuple[tuple[str, int], ...]
    tokens: tuple[tuple[RateLine, bool], ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that one request counts towards, until `valid_until` (a Unix time)."""

    budgets: tuple[BudgetLine, ...] = ()
    rates: tuple[RateLine, ...] = ()
    valid_until: float = float("inf")
    keys: tuple[str, ...] = field(init=False, compare=False)  # the budgets' counters
    slots: tuple[str, ...] = field(init=False, compare=False)
    _charges: dict[tuple[str, str], Charges] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "keys", tuple([line.key for line in self.budgets]))
        object.__setattr__(self, "slots", tuple([line.key for line in self.rates if line.slot]))

    @property
    def empty(self) -> bool:
        return not self.budgets and not self.rates

    def charges(self, asked: str, served: str) -> Charges:
        """What a request counts towards that asked for one model and was served by another, or by `""`. A limit for models
        that did not serve it in the end is charged nothing."""
        found = self._charges.get((asked, served))
        if found is None:
            if len(self._charges) >= MOST_PLANS:
                self._charges.clear()
            names = (asked, served) if served else (asked,)
            self._charges[asked, served] = found = Charges(
                tuple([(line.key, line.lifetime) for line in self.budgets if fits(line.terms.model, names)]),
                tuple([(line, fits(line.terms.model, names)) for line in self.rates if line.of_tokens]),
            )
        return found


@dataclass(frozen=True, slots=True)
class Limits:
    """What applies to one caller."""

    budgets: tuple[BudgetTerms, ...] = ()
    rates: tuple[RateTerms, ...] = ()
    caller: str = ""  # names the caller's own counter of count_tokens
    organization: OrganizationTerms = DEFAULTS
    _plans: dict[tuple[str, Targets, bool], Plan] = field(init=False, repr=False, compare=False, default_factory=dict)

    def plan(self, model: str, targets: Targets = (), *, stream: bool, now: float) -> Plan:
        """The limits whose pattern fits this name of a model, or that of any target (provider and upstream model)."""
        found = self._plans.get((model, targets, stream))
        if found is None or now >= found.valid_until:
            if len(self._plans) >= MOST_PLANS:
                self._plans.clear()
            names = (model, *(upstream for _, upstream in targets))
            self._plans[model, targets, stream] = found = self._planned(names, stream, now)
        return found

    def counting(self) -> Plan:
        """What a call of count_tokens counts towards: its own limit, and nothing else."""
        terms = RateTerms(self.caller, EVERYTHING, COUNTS, COUNTS_PER_MINUTE)
        return Plan(rates=(RateLine(terms, f"n:{self.caller}", COUNTS_PER_MINUTE, COUNTS),))

    def _planned(self, names: tuple[str, ...], stream: bool, now: float) -> Plan:
        budgets = tuple(line_at(terms, now) for terms in self.budgets if fits(terms.model, names))
        rates = tuple(
            RateLine(terms, f"r:{terms.id}", terms.amount, terms.kind)
            for terms in self.rates
            if fits(terms.model, names) and (stream or terms.kind != CONCURRENT_STREAMS)
        )
        ends = [float(line.period.end) for line in budgets if line.period.end != NEVER]
        ends += [line.terms.raise_until for line in budgets if line.terms.raise_until > now]
        return Plan(budgets, rates, min(ends, default=float("inf")))


def line_at(terms: BudgetTerms, now: float) -> BudgetLine:
    """A budget in the period that `now` is in."""
    period = period_at(terms.period, now, terms.zone, terms.fiscal_start_month)
    before = ""
    if terms.carry_over and terms.created_at < period.start:
        last = period_before(terms.period, period, terms.zone, terms.fiscal_start_month)
        before = counter_of(terms, last) if last else ""
    # Until the next period is over, too: what is carried over into it comes from here.
    lifetime = 0 if period.end == NEVER else max(_DAY, 2 * period.end - period.start - int(now) + _DAY)
    return BudgetLine(terms, period, counter_of(terms, period), terms.amount, terms.amount_at(now), before, lifetime)


def counter_of(terms: BudgetTerms, period: Period) -> str:
    return f"b:{terms.id}:{period.start}"


def fits(pattern: str, names: Sequence[str]) -> bool:
    """Whether a limit with this pattern of models is for a request with these names; no pattern is for all."""
    return not pattern or any(matches(pattern, name) for name in names)


def tagged(tag: str, tags: Tags) -> bool:
    """Whether a limit for `name=value` is for a caller with these tags; no tag is for all."""
    name, _, value = tag.partition("=")
    return not tag or tags.get(name) == value


@dataclass(frozen=True, slots=True)
class LimitBook:
    """Every limit there is. `of` remembers what it found, as long as this picture lasts."""

    organization: OrganizationTerms = DEFAULTS
    budgets: tuple[BudgetTerms, ...] = ()
    rates: tuple[RateTerms, ...] = ()
    _budgets: dict[tuple[str, str], list[BudgetTerms]] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )
    _rates: dict[tuple[str, str], list[RateTerms]] = field(init=False, repr=False, compare=False, default_factory=dict)
    _found: dict[object, Limits] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        for budget in self.budgets:
            self._budgets.setdefault(_place(budget.scope), []).append(budget)
        for rate in self.rates:
            self._rates.setdefault(_place(rate.scope), []).append(rate)

    def of(self, grant: Grant) -> Limits:
        """The limits of organization, team, project, user and key that apply to a caller, tags considered."""
        # A key's tags are the key's; a caller without a key is known by all that it says of itself.
        who: object = grant.key_id or (grant.team, grant.project, grant.user, tuple(sorted(grant.tags.items())))
        found = self._found.get(who)
        if found is None:
            if len(self._found) >= MOST_CALLERS:
                self._found.clear()
            self._found[who] = found = self._look_up(grant)
        return found

    def _look_up(self, grant: Grant) -> Limits:
        places = [(ORGANIZATION, ""), (TEAM, grant.team), (PROJECT, f"{grant.team}/{grant.project}")]
        if grant.user:
            places.append((USER, grant.user))
        if grant.key_id:
            places.append((KEY, str(grant.key_id)))
        budgets = [each for place in places for each in self._budgets.get(place, ()) if tagged(each.tag, grant.tags)]
        rates = [each for place in places for each in self._rates.get(place, ()) if tagged(each.tag, grant.tags)]
        caller = str(grant.key_id) if grant.key_id else f"{grant.team}/{grant.project}/{grant.user}"
        return Limits(tuple(budgets), tuple(rates), caller, self.organization)


def _place(scope: Scope) -> tuple[str, str]:
    """How a scope is found from a grant, which knows names; of keys, the id."""
    if scope.type == ORGANIZATION:
        return (ORGANIZATION, "")
    return (scope.type, str(scope.id) if scope.type == KEY else scope.name)
