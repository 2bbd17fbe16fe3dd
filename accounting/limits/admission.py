"""Lets requests in: one decision over every limit that applies, a ticket for what was reserved, or the reason why not.

ticket = await admission.admit(Demand(…))     # raises LimitReached, CountersLost
ticket.settle(Spent(…))                       # or ticket.release(); once, later calls do nothing
"""

import asyncio
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import msgspec

from accounting.limits.book import BudgetLine, Limits, Plan, Targets
from accounting.limits.counters import BudgetState, Counters, Decision, Settlement, Verdict, Wish, wanted
from accounting.limits.estimate import Estimator, Guess, Prices, UnitPrices
from accounting.limits.queues import MOST_PATIENCE, MOST_WAITING, Queue
from accounting.limits.refusal import LimitReached, budget_reached, rate_reached
from accounting.limits.terms import INPUT_TOKENS
from gateway_project.endings import end

RENEW_EVERY = 15.0  # seconds


class Demand(msgspec.Struct, frozen=True):
    """What asks to be let in. `model` is the name as asked, `targets` the pairs of provider and upstream model that may
    serve it; `now` a Unix time; `size` bytes of the body."""

    limits: Limits
    model: str
    targets: Targets = ()
    stream: bool = False
    size: int = 0
    max_tokens: int | None = None
    now: float = msgspec.field(default_factory=time.time)


class Spent(msgspec.Struct, frozen=True):
    """What a request came to, in nano-dollars and tokens (input of all kinds together). `model` is the upstream's that
    served it; `exact` is false where the upstream did not say so itself."""

    cost: int
    input_tokens: int = 0
    output_tokens: int = 0
    model: str = ""
    exact: bool = True


class Ends(Protocol):
    def __call__(self, ticket: "Ticket", spent: Spent | None) -> None: ...


class Ticket(msgspec.Struct, eq=False):
    """What an admitted request has reserved."""

    id: str
    demand: Demand
    plan: Plan
    guess: Guess
    decision: Decision
    prices: UnitPrices
    ends: Ends
    over: bool = False

    def settle(self, spent: Spent) -> None:
        """Charges what was spent and gives back the rest. Does not wait."""
        if not self.over:
            self.over = True
            self.ends(self, spent)

    def release(self) -> None:
        """Nothing was spent."""
        if not self.over:
            self.over = True
            self.ends(self, None)

    def priced(self, input_tokens: int, output_tokens: int) -> int:
        """Nano-dollars at the rates that the reservation was made with."""
        return input_tokens * self.prices.input + output_tokens * self.prices.output


@dataclass(frozen=True, slots=True)
class _Blocked:
    """The budget in which others' reservations stand in the way."""

    line: BudgetLine
    state: BudgetState

    def refusal(self, now: float) -> LimitReached:
        state = self.state
        return budget_reached(self.line, now, spent=state.spent, reserved=state.reserved, limit=state.limit)


class Admission:
    """One of a process. `process` makes its tickets unlike those of others."""

    def __init__(
        self,
        counters: Counters,
        *,
        process: str,
        prices: Prices,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.counters = counters
        self.prices = prices
        self.estimator = Estimator()
        self._process = process
        self._numbers = itertools.count(1)
        self._clock = clock
        self._monotonic = monotonic
        self._queues: dict[str, Queue] = {}
        self._open: dict[str, Ticket] = {}
        self._renewing: asyncio.Task[None] | None = None

    @property
    def open_tickets(self) -> int:
        """How many are neither settled nor released."""
        return len(self._open)

    async def start(self) -> None:
        await self.counters.start()
        self._renewing = asyncio.create_task(self._renew())

    async def stop(self) -> None:
        await end(self._renewing)
        await self.counters.stop()

    async def admit(self, demand: Demand) -> Ticket | None:
        """A ticket; None where nothing limits the caller. Raises LimitReached, and CountersLost."""
        plan = demand.limits.plan(demand.model, demand.targets, stream=demand.stream, now=demand.now)
        if plan.empty:
            return None
        queue = self._queue_for(plan) if self._queues else None
        if queue is None:
            found = await self._attempt(demand, plan)
            if isinstance(found, Ticket):
                return found
            queue = self._queues.setdefault(found.line.key, Queue(found.line.key, self._monotonic))
        return await self._in_turn(queue, demand, plan)

    async def count(self, limits: Limits) -> Decision:
        """Lets a call of count_tokens in. Raises LimitReached, and CountersLost."""
        plan = limits.counting()
        decision = await self.counters.admit(self._new_id(), plan, Wish())
        if not decision.passed:
            raise rate_reached(plan.rates[0], used=decision.rates[0].used, wait=decision.rates[0].wait)
        return decision

    async def check(self, demand: Demand) -> None:
        """Raises LimitReached if a hard budget is used up; reserves nothing."""
        plan = demand.limits.plan(demand.model, demand.targets, stream=False, now=demand.now)
        if not plan.budgets:
            return
        ticket = self._new_id()
        decision = await self.counters.admit(ticket, Plan(plan.budgets), Wish())
        self.counters.settle(Settlement(ticket, decision.at))
        for line, state in zip(plan.budgets, decision.budgets, strict=True):
            if line.hard and state.spent >= state.limit:
                raise _Blocked(line, state).refusal(demand.now)

    def wish(self, demand: Demand) -> Wish:
        """What such a request would reserve; for those who explain it. Reserves nothing."""
        return self._guess(demand, self.prices.ceiling(demand.targets)).wish

    def _guess(self, demand: Demand, prices: UnitPrices) -> Guess:
        return self.estimator.guess(
            demand.limits.caller,
            demand.model,
            size=demand.size,
            max_tokens=demand.max_tokens,
            prices=prices,
            reservation=demand.limits.organization.reservation,
        )

    # -- deciding ----------------------------------------------------------------------------------------------------

    async def _attempt(self, demand: Demand, plan: Plan) -> Ticket | _Blocked:
        """A ticket, or the budget whose reservations stand in the way. Raises LimitReached."""
        prices = self.prices.ceiling(demand.targets)
        guess = self._guess(demand, prices)
        id_ = self._new_id()
        decision = await self._decide(id_, plan, guess.wish)
        if not decision.passed and _wants_slot(plan, decision) and await self.counters.caught_up():
            decision = await self._decide(id_, plan, guess.wish)  # a slot may have come free on the way
        if decision.passed:
            self._open[id_] = ticket = Ticket(id_, demand, plan, guess, decision, prices, self._ended)
            return ticket
        return _blocked(plan, decision, demand.now)

    async def _decide(self, id_: str, plan: Plan, wish: Wish) -> Decision:
        try:
            return await self.counters.admit(id_, plan, wish)
        except asyncio.CancelledError:
            self.counters.settle(Settlement(id_))  # it may have been decided already
            raise

    async def _in_turn(self, queue: Queue, demand: Demand, plan: Plan) -> Ticket:
        """Waits until others have settled. Raises LimitReached when patience is over."""
        deadline = self._monotonic() + MOST_PATIENCE
        turn = queue.join()
        seen: tuple[int, int] | None = None
        try:
            while True:
                patient = len(queue) <= MOST_WAITING and await queue.wait(turn, deadline)
                found = await self._attempt(demand, plan)
                if isinstance(found, Ticket):
                    queue.progress()
                    return found
                if not patient:
                    raise found.refusal(demand.now)
                now = (found.state.spent, found.state.reserved)
                if seen not in (now, None):
                    queue.progress()
                seen = now
        finally:
            queue.leave(turn)
            if not len(queue):
                self._queues.pop(queue.key, None)

    def _queue_for(self, plan: Plan) -> Queue | None:
        """The queue behind which a newcomer has to stand."""
        for line in plan.budgets:
            if line.hard and (queue := self._queues.get(line.key)):
                return queue
        return None

    def _new_id(self) -> str:
        return f"{self._process}-{next(self._numbers)}"

    # -- afterwards --------------------------------------------------------------------------------------------------

    def _ended(self, ticket: Ticket, spent: Spent | None) -> None:
        self._open.pop(ticket.id, None)
        self.counters.settle(_settlement(ticket, spent))
        if spent is not None and spent.exact:
            demand = ticket.demand
            used = (spent.input_tokens, spent.output_tokens)
            self.estimator.learn(
                demand.limits.caller, demand.model, ticket.guess, size=demand.size, cost=spent.cost, used=used
            )
        if self._queues:
            for line in ticket.plan.budgets:
                if queue := self._queues.get(line.key):
                    queue.progress()
                    queue.wake()

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEW_EVERY)
            await self.counters.renew(tuple(self._open))


def _blocked(plan: Plan, decision: Decision, now: float) -> _Blocked:
    """The budget that is worth waiting for. Raises LimitReached where none is."""
    blocked = [_Blocked(*pair) for pair in zip(plan.budgets, decision.budgets, strict=True)]
    for each in blocked:
        if each.state.verdict is Verdict.STOPS:
            raise each.refusal(now)
    rates = [pair for pair in zip(plan.rates, decision.rates, strict=True) if pair[1].wait]
    if rates:
        line, state = max(rates, key=lambda pair: pair[1].wait)
        raise rate_reached(line, used=state.used, wait=state.wait)
    return next(each for each in blocked if each.state.verdict is Verdict.WAITS)


def _wants_slot(plan: Plan, decision: Decision) -> bool:
    return any(state.wait and line.slot for line, state in zip(plan.rates, decision.rates, strict=True))


def _settlement(ticket: Ticket, spent: Spent | None) -> Settlement:
    """What the counters have to be told."""
    charges = ticket.plan.charges(ticket.demand.model, spent.model if spent is not None else "")
    corrections = []
    for line, fitting in charges.tokens:
        used = 0
        if spent is not None and fitting:
            used = spent.input_tokens if line.kind == INPUT_TOKENS else spent.output_tokens
        if difference := used - wanted(line, ticket.guess.wish):
            corrections.append((line.key, difference))
    if spent is None:
        return Settlement(ticket.id, ticket.decision.at, corrections=corrections)
    return Settlement(ticket.id, ticket.decision.at, spent.cost, charges.budgets, corrections)
