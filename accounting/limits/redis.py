"""Counters that many processes and machines share, in Redis: one script, one round trip for a decision.

Redis 6.2 or newer. All keys stand under one prefix with a hash tag, so they live on one node of a cluster. Raises
`redis.RedisError` (and nothing else) while Redis is away; `shared` says what happens then.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import redis
from redis import asyncio as aio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError
from redis.retry import Retry

from accounting.limits.book import BudgetLine, Plan, RateLine
from accounting.limits.counters import (
    TICKET_LIFETIME,
    BudgetState,
    Decision,
    RateState,
    Seed,
    Settlement,
    Standing,
    Verdict,
    Wish,
    wanted,
)

PREFIX = "gateway:{%s}"
ANSWER_WITHIN = 0.5  # seconds for a connection, and for an answer
MOST_CONNECTIONS = 64
PROCESS_LIFETIME = 45 * 1_000_000  # microseconds after which a process that says nothing is not counted
_SHARED, _ADMIT, _SETTLE = "held.lua", "admit.lua", "settle.lua"

_RENEW = """
local now = clock(ARGV[1])
redis.call('ZADD', prefix .. 'P', whole(now), ARGV[2])
redis.call('ZREMRANGEBYSCORE', prefix .. 'P', '-inf', whole(now - tonumber(ARGV[4])))
for index = 5, #ARGV do
  redis.call('ZADD', prefix .. 'T', 'XX', 'GT', whole(now + tonumber(ARGV[3])), ARGV[index])
end
return {redis.call('ZCARD', prefix .. 'P'), redis.call('EXISTS', prefix .. 'e')}
"""
_LOOK = "expire(clock(ARGV[1])) return 1"
_USED = """
local now, answer = clock(ARGV[1]), {}
expire(now)
for at = 2, #ARGV, 2 do
  if ARGV[at + 1] == 'slot' then
    answer[#answer + 1] = tonumber(redis.call('GET', prefix .. 'l:' .. ARGV[at]) or '0')
  else
    local sum = 0
    for _, slice in ipairs(redis.call('ZRANGEBYSCORE', prefix .. 'z:' .. ARGV[at], '(' .. whole(now - 60000000), '+inf')) do
      sum = sum + tonumber(redis.call('HGET', prefix .. 'w:' .. ARGV[at], slice) or '0')
    end
    answer[#answer + 1] = sum
  end
end
return answer
"""


class NotReady(redis.RedisError):
    """Redis is there, and has forgotten what was spent."""


def script(name: str) -> str:
    """One of the scripts beside this module, with what they share in front."""
    folder = Path(__file__).parent
    return (folder / _SHARED).read_text(encoding="utf-8") + (folder / name).read_text(encoding="utf-8")


def own_script(text: str) -> str:
    return (Path(__file__).parent / _SHARED).read_text(encoding="utf-8") + text


class RedisCounters:
    """On the event loop. `prefix` begins the names of all keys, and may be set later.

    `clock` (microseconds) is for tests; without it the server's own counts, on all machines alike.
    """

    def __init__(self, url: str, *, prefix: str = "", clock: Callable[[], int] | None = None) -> None:
        self.prefix = prefix
        self._clock = clock
        self._client: aio.Redis = aio.Redis.from_pool(
            aio.ConnectionPool.from_url(
                url,
                max_connections=MOST_CONNECTIONS,
                socket_timeout=ANSWER_WITHIN,
                socket_connect_timeout=ANSWER_WITHIN,
                retry=AsyncRetry(NoBackoff(), 0),
            )
        )
        self._admit = self._client.register_script(script(_ADMIT))
        self._settle = self._client.register_script(script(_SETTLE))
        self._renew = self._client.register_script(own_script(_RENEW))

    def _now(self) -> str:
        return str(self._clock()) if self._clock is not None else "0"

    async def admit(self, ticket: str, plan: Plan, wish: Wish) -> Decision:
        head: list[Any] = [
            self._now(),
            ticket,
            TICKET_LIFETIME,
            wish.cost,
            wish.least,
            len(plan.budgets),
            len(plan.rates),
        ]
        budgets = [value for line in plan.budgets for value in _budget_arguments(line)]
        rates = [value for line in plan.rates for value in _rate_arguments(line, wish)]
        answer: list[Any] = await self._admit(keys=[self.prefix], args=[*head, *budgets, *rates])
        if answer[0] == -1:
            raise NotReady("the counters have to be rebuilt")
        return _decision(answer, len(plan.budgets))

    async def settle(self, settlements: Sequence[Settlement]) -> None:
        """Some tickets at once, in order. Each is ended or none is known to be."""
        try:
            await self._settle_all(settlements)
        except NoScriptError:
            await self._client.script_load(self._settle.script)
            await self._settle_all(settlements)

    async def _settle_all(self, settlements: Sequence[Settlement]) -> None:
        pipe = self._client.pipeline(transaction=False)
        for settlement in settlements:
            pipe.evalsha(self._settle.sha, 1, self.prefix, *_settle_arguments(settlement))
        await pipe.execute()

    async def renew(self, process: str, tickets: Sequence[str]) -> tuple[int, bool]:
        """Keeps tickets alive, and this process known: how many processes there are, and whether the counters are whole."""
        arguments: list[Any] = [self._now(), process, TICKET_LIFETIME, PROCESS_LIFETIME, *tickets]
        processes, whole = await self._renew(keys=[self.prefix], args=arguments)
        return int(processes), bool(whole)

    async def leave(self, process: str) -> None:
        await self._client.zrem(f"{self.prefix}:P", process)

    async def close(self) -> None:
        await self._client.aclose()


class RedisBooks:
    """For threads: one of a process. Raises `redis.RedisError` while Redis is away."""

    def __init__(self, url: str, *, prefix: str = "", clock: Callable[[], int] | None = None) -> None:
        self.prefix = prefix
        self._clock = clock
        self._client: redis.Redis = redis.Redis.from_url(
            url,
            socket_timeout=ANSWER_WITHIN,
            socket_connect_timeout=ANSWER_WITHIN,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
        )
        self._look = self._client.register_script(own_script(_LOOK))
        self._used = self._client.register_script(own_script(_USED))

    def standing(self, keys: Sequence[str]) -> Sequence[Standing]:
        """The counters; reservations of tickets that have expired are not among them."""
        self._look(keys=[self.prefix], args=[str(self._clock()) if self._clock is not None else "0"])
        pipe = self._client.pipeline(transaction=False)
        for key in keys:
            pipe.hmget(self._name(key), ["s", "r", "c"])
        return [
            Standing(int(spent or 0), int(reserved or 0), int(carried or 0), known=spent is not None)
            for spent, reserved, carried in pipe.execute()
        ]

    def used(self, lines: Sequence[RateLine]) -> Sequence[int]:
        now = str(self._clock()) if self._clock is not None else "0"
        pairs = [part for line in lines for part in (line.key, "slot" if line.slot else "window")]
        return [int(each) for each in self._used(keys=[self.prefix], args=[now, *pairs])]

    def seed(self, seeds: Mapping[str, Seed]) -> None:
        pipe = self._client.pipeline(transaction=False)
        for key, seed in seeds.items():
            pipe.hsetnx(self._name(key), "s", str(seed.spent))
            pipe.hsetnx(self._name(key), "c", str(seed.carried))
            if seed.lifetime:
                pipe.expire(self._name(key), seed.lifetime)
        pipe.execute()

    def correct(self, key: str, difference: int) -> None:
        self._client.hincrby(self._name(key), "s", difference)

    def ready(self) -> bool:
        return bool(self._client.exists(f"{self.prefix}:e"))

    def declare_ready(self) -> None:
        self._client.set(f"{self.prefix}:e", "1")

    def claim(self, process: str, seconds: int) -> bool:
        name = f"{self.prefix}:claim"
        if self._client.set(name, process, nx=True, ex=seconds):
            return True
        mine = self._client.get(name) == process
        return mine and bool(self._client.expire(name, seconds))

    def forget(self, keep: frozenset[str]) -> None:
        """Redis drops old counters by itself."""

    def _name(self, key: str) -> str:
        return f"{self.prefix}:{key}"


def _budget_arguments(line: BudgetLine) -> Iterable[Any]:
    return (line.key, int(line.hard), line.limit, line.before, line.amount, line.lifetime)


def _rate_arguments(line: RateLine, wish: Wish) -> Iterable[Any]:
    return (line.key, "slot" if line.slot else "window", line.limit, wanted(line, wish))


def _settle_arguments(settlement: Settlement) -> list[Any]:
    head = [settlement.ticket, int(settlement.again), settlement.at, settlement.cost]
    counts = [len(settlement.spent), len(settlement.corrections)]
    return [*head, *counts, *(each for pair in (*settlement.spent, *settlement.corrections) for each in pair)]


def _decision(answer: Sequence[Any], budgets: int) -> Decision:
    middle = 2 + budgets * 4
    states = [
        BudgetState(Verdict(answer[at]), answer[at + 1], answer[at + 2], answer[at + 3]) for at in range(2, middle, 4)
    ]
    rates = [RateState(answer[at], answer[at + 1]) for at in range(middle, len(answer), 2)]
    return Decision(bool(answer[0]), answer[1], states, rates)
