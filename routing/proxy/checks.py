"""Active checks: one small request now and then to a provider that has no traffic, or whose breaker waits for a probe.

Only for providers that ask for it. A check goes the way of every request: through the breaker, to the record (reason
`health_check`, no team), and it costs what a prompt of a word and one token of answer cost.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable

from accounting.money.entry import Entry
from gateway_project.endings import end
from gateway_project.telemetry import logger
from routing.formats import anthropic
from routing.formats.base import ANTHROPIC, MESSAGES
from routing.formats.wording import scrub
from routing.proxy import pipeline
from routing.proxy.attempts import Attempts
from routing.proxy.errors import GatewayError
from routing.proxy.exchange import Call, Exchange, Reply
from routing.proxy.house import House
from routing.proxy.ids import new_request_id
from routing.proxy.upstream import Fault
from routing.resolve import Candidate, Resolution
from routing.snapshot import Snapshot
from routing.targets import RouteConf, TargetConf

TICK = 1.0
LONGEST = 60.0  # seconds for one check, whatever the provider's own limits are
REASON = "health_check"

Claim = Callable[[str, float], Awaitable[bool]]

log = logger(__name__)


class Checks:
    """`claim(name, seconds)` says whether this process may do a thing that one of all processes is to do in that time;
    `settle` prices what a check has used, as it does with every request."""

    def __init__(self, house: House, claim: Claim, settle: Callable[[Exchange], None]) -> None:
        self._house = house
        self._claim = claim
        self._settle = settle
        self._checked: dict[tuple[str, str], float] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        task, self._task = self._task, None
        await end(task, *self._running)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            snapshot = self._house.snapshot
            wanted = [provider for provider in snapshot.providers.values() if provider.check_interval]
            self._checked = {key: at for key, at in self._checked.items() if key[0] in snapshot.providers}
            for provider in wanted:
                target = TargetConf(provider, provider.check_model)
                if self.due(target, time.monotonic()) and await self._claim("\0".join(target.key), TICK):
                    self._checked[target.key] = time.monotonic()
                    task = asyncio.get_running_loop().create_task(self.check(target, snapshot))
                    self._running.add(task)
                    task.add_done_callback(self._running.discard)

    def due(self, target: TargetConf, now: float) -> bool:
        """Whether the target wants a check: half open and free for the probe, or closed and idle for its interval."""
        interval, house = target.provider.check_interval, self._house
        seen = house.health.look(target, now)
        if seen.reason or house.draining or not house.recorder.accepting:
            return False
        last = self._checked.get(target.key)
        if seen.probe:
            return last is None or now - last >= min(interval, TICK)
        last = max(last or 0.0, house.health.called_at(target))
        return seen.state == "closed" and not seen.in_flight and now - last >= interval

    async def check(self, target: TargetConf, snapshot: Snapshot) -> None:
        """Sends the request; the answer's end is one record, whatever happened."""
        exchange = self._exchange(target, snapshot.revision)
        body = {"model": target.model, "max_tokens": 1, "messages": [{"role": "user", "content": "Hi"}]}
        route = route_of(target, snapshot)
        exchange.entry.route = route.name
        house = self._house
        house.recorder.opened(exchange.entry)
        try:
            sent = Attempts(
                exchange,
                anthropic.parse(MESSAGES, [], json.dumps(body).encode()),
                route,
                Resolution((Candidate(target, 0.0),)),
                house.upstreams,
                house.health,
                snapshot.registry,
                house.random,
                house.observations,
            )
            await pipeline.relay(exchange, sent, await sent.first_answer(), house, "")
        except Fault as fault:
            exchange.failed("api_error", scrub(fault.detail))
            exchange.record("upstream_error", fault.status or 502)
        except GatewayError as error:
            exchange.failed(error.type, error.message)
            exchange.record("upstream_error", error.status)
        finally:
            exchange.record("shut_down", 503)  # if nothing else was recorded
        house.jobs.done("checks", f"{target.provider.name}: {target.model}: {exchange.entry.outcome}")
        log.debug("health check", provider=target.provider.name, model=target.model, status=exchange.entry.status)

    def _exchange(self, target: TargetConf, revision: int) -> Exchange:
        entry = Entry(
            request_id=new_request_id(),
            started_at=time.time(),
            user_agent="health check",
            alias=target.model[:300],
            config_revision=revision,
            reason=REASON,
        )
        call = Call(ANTHROPIC, MESSAGES, "POST", b"/v1/messages", "", b"", [], "", _no_body)
        exchange = Exchange(
            call=call, reply=Reply(_nowhere), entry=entry, keep=self._house.recorder.finished, settle=self._settle
        )
        exchange.drains = True
        return exchange


def route_of(target: TargetConf, snapshot: Snapshot) -> RouteConf:
    """How the target's breaker behaves: as the first route that sends there says. One call, no matter what fails."""
    routes = (alias.route for alias in snapshot.aliases.values())
    found = next((route for route in routes if any(each.key == target.key for each in route.targets)), None)
    route = found or RouteConf(name="")
    return RouteConf(
        name=route.name,
        targets=(target,),
        max_attempts=1,
        cooldown=route.cooldown,
        breaker_failures=route.breaker_failures,
        breaker_window=route.breaker_window,
        deadline=min(LONGEST, route.deadline),
    )


async def _no_body() -> bytes:
    return b""


async def _nowhere(message: dict[str, object]) -> None:
    """There is no client."""
