"""Shared counters as one process uses them: settled in the background, and with a rule for when Redis is away.

While it is away nobody waits for it: the first request that finds out waits half a second or so, then the organization's
choice applies to all (`closed`: nothing is served; `open`: this process's share of each limit, counted in its memory) until
a probe finds Redis back. What was settled meanwhile is handed in then.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import msgspec
from redis import RedisError

from accounting.limits.book import Plan
from accounting.limits.counters import CountersLost, Decision, Seed, Settlement, Wish
from accounting.limits.memory import MemoryCounters
from accounting.limits.redis import NotReady, RedisCounters
from accounting.limits.terms import OPEN
from gateway_project.endings import end
from gateway_project.telemetry import logger

PROBE_EVERY = 0.5  # seconds between two looks whether Redis is back
COUNT_EVERY = 2.0  # seconds between two looks how many processes there are
DECIDE_WITHIN = 0.7  # seconds for one decision, a new connection included
MOST_SETTLEMENTS = 100_000  # that wait for Redis; what is more is found again in the records
MOST_KNOWN = 50_000  # counters of which the last amount is remembered
CAUGHT_UP_WITHIN = 0.25  # seconds
MOST_AT_ONCE = 16  # decisions that are asked of Redis at a time
BATCH = 200
# uvloop says RuntimeError where a connection is written to that has just been reset; redis-py lets it pass.
AWAY = (RedisError, OSError, TimeoutError, RuntimeError)

log = logger(__name__)


class SharedCounters:
    """`policy` gives the organization's choice, `workers` the number of processes to reckon with before any is known."""

    def __init__(
        self,
        store: RedisCounters,
        *,
        process: str,
        policy: Callable[[], str],
        workers: int = 1,
        clock: Callable[[], int] = lambda: time.monotonic_ns() // 1000,
    ) -> None:
        self._store = store
        self._process = process
        self._policy = policy
        self._workers = max(1, workers)
        self.processes = self._workers
        self.away = False
        self._memory = MemoryCounters(clock)
        self._clock = clock
        self._known: dict[str, int] = {}
        self._queue: deque[Settlement] = deque()
        self._turns = asyncio.Semaphore(MOST_AT_ONCE)
        self._work = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []

    # -- the hot path ------------------------------------------------------------------------------------------------

    async def admit(self, ticket: str, plan: Plan, wish: Wish) -> Decision:
        async with self._turns:  # a burst waits here, not for connections: waiting is no sign of a loss
            if not self.away and (decision := await self._asked(ticket, plan, wish)):
                self._remember(plan, decision)
                return decision
        if self._policy() != OPEN:
            raise CountersLost
        return self._alone(ticket, plan, wish)

    async def _asked(self, ticket: str, plan: Plan, wish: Wish) -> Decision | None:
        """Redis's decision; None if it is lost. It is asked twice: a broken connection is no loss, nor is a moment in
        which this process was too busy to hear the answer."""
        for last in (False, True):
            try:
                async with asyncio.timeout(DECIDE_WITHIN):
                    return await self._store.admit(ticket, plan, wish)
            except NotReady as error:
                self.lost(error)
                break
            except AWAY as error:
                if last or self.away:
                    self.lost(error)
                    self.settle(Settlement(ticket))  # should it have been decided all the same
                    break
        return None

    def settle(self, settlement: Settlement) -> None:
        if self.away:
            self._memory.seed({key: Seed(self._known.get(key, 0)) for key, _ in settlement.spent})
            self._memory.settle(settlement)
        if len(self._queue) < MOST_SETTLEMENTS:
            self._queue.append(settlement)
            self._idle.clear()
            self._work.set()

    async def renew(self, tickets: Sequence[str]) -> None:
        await self._memory.renew(tickets)
        if self.away:
            return
        try:
            for start in range(0, max(1, len(tickets)), BATCH):
                whole = await self._counted(tickets[start : start + BATCH])
            if not whole:
                self.lost(RedisError("the counters have to be rebuilt"))
        except AWAY as error:
            self.lost(error)

    async def _counted(self, tickets: Sequence[str] = ()) -> bool:
        """Renews tickets and learns how many processes there are; whether the counters are whole. The workers of this very server
        count from the start: the first of them would take itself for the only one, and all of a limit for its share."""
        processes, whole = await self._store.renew(self._process, tickets)
        self.processes = max(self._workers, processes)
        return whole

    async def caught_up(self) -> bool:
        if self.away:
            return False
        try:
            async with asyncio.timeout(CAUGHT_UP_WITHIN):
                await self._idle.wait()
        except TimeoutError:
            pass
        return True

    async def start(self) -> None:
        await self.renew(())
        self._tasks = [asyncio.create_task(self._hand_in()), asyncio.create_task(self._probe())]

    async def stop(self) -> None:
        """Hands in what is settled, as long as Redis takes it; a moment at most."""
        await self.caught_up()
        self._stopping = True
        await end(*self._tasks)
        try:
            async with asyncio.timeout(DECIDE_WITHIN):
                if not self.away:
                    await self._store.leave(self._process)
                await self._store.close()
        except AWAY:
            pass

    # -- Redis is away -----------------------------------------------------------------------------------------------

    def lost(self, error: Exception) -> None:
        if not self.away:
            self.away = True
            text = str(error)[:200] or type(error).__name__
            log.error("the shared counters are lost", policy=self._policy(), processes=self.processes, error=text)

    def _alone(self, ticket: str, plan: Plan, wish: Wish) -> Decision:
        """A decision over this process's share of each limit. Of a budget it is a share of what was left."""
        share = self.processes
        seeds = {line.key: Seed(self._known.get(line.key, 0)) for line in plan.budgets}
        self._memory.seed(seeds)
        budgets = []
        for line in plan.budgets:
            spent = seeds[line.key].spent
            limit = spent + max(0, line.limit - spent) // share if line.hard else line.limit
            budgets.append(replace(line, limit=limit, before=""))
        rates = tuple(replace(line, limit=line.limit // share) for line in plan.rates)
        decision = self._memory.decide(ticket, Plan(tuple(budgets), rates), wish)
        decision.fallback = True
        return decision

    def know(self, amounts: Mapping[str, int]) -> None:
        """What is known of budgets' counters from elsewhere, for the time that Redis may be away."""
        for key, spent in amounts.items():
            self._known[key] = max(spent, self._known.get(key, 0))

    def _remember(self, plan: Plan, decision: Decision) -> None:
        if len(self._known) > MOST_KNOWN:
            self._known.clear()
        for line, state in zip(plan.budgets, decision.budgets, strict=True):
            self._known[line.key] = state.spent

    async def _probe(self) -> None:
        while not self._stopping:
            await asyncio.sleep(PROBE_EVERY if self.away else COUNT_EVERY)
            away = self.away
            try:
                async with asyncio.timeout(DECIDE_WITHIN):
                    whole = await self._counted()
            except AWAY:
                continue
            if not (away and self.away):
                continue
            if whole:
                self._back()
            else:
                self._queue.clear()  # the counters are rebuilt from the records, which know of these

    def _back(self) -> None:
        self.away = False
        self._memory = MemoryCounters(self._clock)
        self._work.set()
        log.info("the shared counters are back", waiting=len(self._queue))

    # -- settling ----------------------------------------------------------------------------------------------------

    async def _hand_in(self) -> None:
        while not self._stopping:
            await self._work.wait()
            self._work.clear()
            while self._queue and not self.away:
                await self._hand_in_some()
            if not self._queue:
                self._idle.set()

    async def _hand_in_some(self) -> None:
        batch = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
        try:
            async with asyncio.timeout(DECIDE_WITHIN):
                await self._store.settle(batch)
        except AWAY as error:
            self._queue.extendleft(msgspec.structs.replace(each, again=True) for each in reversed(batch))
            self.lost(error)
