"""Breakers and rests that all processes share through Redis. Beside the gateway's path: no request ever waits for it.

Each process publishes its own changes at once and takes the others' as they come; a hash keeps what is open for those that
start later. Of all processes one may send a half-open breaker's probe: the one that gets a lock which expires. While Redis
is away every process goes by what it sees itself.
"""

import asyncio
import hashlib
import json
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable
from contextlib import suppress
from dataclasses import replace
from typing import Any, cast

from redis import asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from accounting.limits.shared import AWAY
from gateway_project.endings import end
from gateway_project.telemetry import logger
from routing.health import Health, Key, News

KEPT_SECONDS = 3 * 3600  # of the hash, after its last change; a cooldown is at most an hour
STALE_SECONDS = 60.0  # after its end a stored opening is passed over
LEAD = 0.25  # seconds before a cooldown's end at which the lock for the probe is taken
TICK = 0.1
ASIDE = 0.3  # seconds for which a process that did not get the lock lets it be
YIELD = 0.6  # and one that had it and sent no probe: the others come first
PAUSE = 1.0  # before Redis is tried again
PATIENCE = 2.0  # with one answer of Redis
MOST_WAITING = 1_000  # changes that wait for Redis; what is older goes
LEAST_LOCK, MOST_LOCK = 1.0, 2.0  # seconds

_RENEW = "if redis.call('get',KEYS[1])==ARGV[1] then return redis.call('pexpire',KEYS[1],ARGV[2]) end return 0"
_FREE = "if redis.call('get',KEYS[1])==ARGV[1] then return redis.call('del',KEYS[1]) end return 0"

log = logger(__name__)


class Sharing:
    """`start` in the event loop that serves; `stop` ends it. `prefix` is the installation's own, the same everywhere."""

    def __init__(self, health: Health, url: str, prefix: str) -> None:
        self._health = health
        self._client = redis.Redis.from_url(
            url, socket_timeout=PATIENCE, socket_connect_timeout=PATIENCE, retry=Retry(NoBackoff(), 0), protocol=2
        )
        self._states, self._channel, self._lock = f"{prefix}:states", f"{prefix}:news", f"{prefix}:probe"
        self._process = secrets.token_hex(8)
        self._outgoing: deque[tuple[float, News]] = deque(maxlen=MOST_WAITING)
        self._waiting = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._locks: dict[Key, float] = {}  # until when this process has them
        self._aside: dict[Key, float] = {}

    def start(self) -> None:
        if self._task is None:
            self._health.tell = self._told
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        task, self._task = self._task, None
        await end(task)

    async def claim(self, name: str, seconds: float) -> bool:
        """Whether this process may do what one of all is to do within that time; each may while Redis is away."""
        if not self._health.shared:
            return True
        digest = hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=12).hexdigest()
        try:
            return bool(
                await self._client.set(f"{self._lock}:check:{digest}", self._process, nx=True, px=int(1000 * seconds))
            )
        except AWAY:
            return True

    def _told(self, news: News) -> None:
        self._outgoing.append((time.monotonic(), news))
        self._waiting.set()

    async def _run(self) -> None:
        """Serves until it is cancelled; a lost connection is one line in the log, and comes back by itself."""
        away = False
        try:
            while True:
                try:
                    async with self._client.pubsub() as subscription:
                        await subscription.subscribe(self._channel)
                        await self._meet()
                        if away:
                            log.info("Redis is back: the state of targets is shared again")
                        away = False
                        await self._serve(subscription)
                except AWAY as error:
                    if not away:
                        text = "Redis is away: each process goes by what it sees of its targets itself"
                        log.error(text, error=str(error)[:300])
                    away = True
                await asyncio.sleep(PAUSE)
        finally:
            with suppress(*AWAY):
                await self._client.aclose()

    async def _serve(self, subscription: Any) -> None:
        """Until the first failure of any of the three."""
        parts = (self._listen(subscription), self._publish(), self._probe())
        tasks = [asyncio.ensure_future(part) for part in parts]
        self._health.shared = True
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        finally:
            self._health.shared = False
            self._locks.clear()
            await end(*tasks)

    async def _meet(self) -> None:
        """Takes what is open elsewhere; of what has changed here meanwhile the others are told later."""
        stored = await cast(Awaitable[dict[bytes, bytes]], self._client.hgetall(self._states))
        newer = {news.key for _, news in self._outgoing}
        now, wall = time.monotonic(), time.time()
        for text in stored.values():
            read = _read(text)
            if read is not None and read[1].key not in newer and read[2] > wall - STALE_SECONDS:
                self._health.hear(replace(read[1], seconds=read[2] - wall), now)

    async def _listen(self, subscription: Any) -> None:
        async for text in _published(subscription):
            read = _read(text)
            if read is not None and read[0] != self._process:
                self._health.hear(read[1], time.monotonic())

    async def _publish(self) -> None:
        while True:
            while self._outgoing:
                at, news = self._outgoing[0]
                left = news.seconds - (time.monotonic() - at)
                if news.change == "closed" or left > 0:
                    await self._send(replace(news, seconds=max(0.0, left)))
                if self._outgoing and self._outgoing[0][1] is news:
                    self._outgoing.popleft()
            self._waiting.clear()
            await self._waiting.wait()

    async def _send(self, news: News) -> None:
        text = _written(self._process, news, time.time())
        field = "\0".join(news.key)
        async with self._client.pipeline(transaction=True) as pipeline:
            if news.change == "open":
                pipeline.hset(self._states, field, text)
                pipeline.expire(self._states, KEPT_SECONDS)
            elif news.change == "closed":
                pipeline.hdel(self._states, field)
            pipeline.publish(self._channel, text)
            await pipeline.execute()
        if news.change != "rest" and self._locks.pop(news.key, None) is not None:
            await cast(Awaitable[int], self._client.eval(_FREE, 1, self._lock_of(news.key), self._process))

    async def _probe(self) -> None:
        """Takes the lock of every breaker that is about to be half open, and renews it while the probe is on its way."""
        while True:
            await asyncio.sleep(TICK)
            if self._health.all_closed:
                self._locks.clear()
                self._aside.clear()
                continue
            for key, (cooldown, probing) in self._health.due(time.monotonic(), LEAD).items():
                await self._hold(key, min(MOST_LOCK, max(LEAST_LOCK, cooldown / 2)), probing=probing)

    async def _hold(self, key: Key, seconds: float, *, probing: bool) -> None:
        now = time.monotonic()
        until = self._locks.get(key, 0.0)
        name, milliseconds = self._lock_of(key), str(int(1000 * seconds))
        if until > now:
            if not probing or until - now > seconds / 2:
                return
            got = bool(await cast(Awaitable[int], self._client.eval(_RENEW, 1, name, self._process, milliseconds)))
        elif until:
            del self._locks[key]
            self._aside[key] = now + YIELD
            return
        elif self._aside.get(key, 0.0) > now:
            return
        else:
            got = bool(await self._client.set(name, self._process, nx=True, px=int(milliseconds)))
        if got:
            self._locks[key] = now + seconds
            self._health.permit(key, now + 0.9 * seconds)
        else:
            self._locks.pop(key, None)
            self._aside[key] = now + ASIDE

    def _lock_of(self, key: Key) -> str:
        digest = hashlib.blake2b("\0".join(key).encode("utf-8", "surrogateescape"), digest_size=12).hexdigest()
        return f"{self._lock}:{digest}"


async def _published(subscription: Any) -> AsyncIterator[bytes]:
    """What is published, as it comes. A connection that does not even answer a ping is given up: TimeoutError."""
    asked = False
    while True:
        message = await subscription.get_message(timeout=PATIENCE)
        if message is None:
            if asked:
                raise TimeoutError("Redis does not answer")
            asked = True
            await subscription.ping()
            continue
        asked = False
        if message["type"] == "message":
            yield message["data"]


def _written(process: str, news: News, wall: float) -> str:
    values = [news.provider, news.model, news.change, news.seconds, news.why, news.cooldown, news.by_death]
    return json.dumps([process, wall + news.seconds, *values])


def _read(text: bytes) -> tuple[str, News, float] | None:
    """Who says what, and the time of day when it ends; None for what this version does not understand."""
    try:
        process, until, provider, model, change, seconds, why, cooldown, by_death = json.loads(text)
        if change not in ("open", "closed", "rest"):
            return None
        numbers = float(seconds), float(cooldown), float(until)
    except (ValueError, TypeError):
        return None
    news = News(str(provider), str(model), change, numbers[0], str(why), numbers[1], bool(by_death))
    return str(process), news, numbers[2]


def prefix_of(secret: str, database: str) -> str:
    """A name in Redis that all processes of one installation have in common: they share a secret key and a database."""
    digest = hashlib.blake2b(f"{secret}\0{database}".encode(), digest_size=8, person=b"targets")
    return f"gateway:{digest.hexdigest()}:targets"
