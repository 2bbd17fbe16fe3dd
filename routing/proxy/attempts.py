"""Calls upstreams until one answers: which failures lead to another call, to whom, after which wait.

All of it happens before the client has got a byte. What the failed calls were is on the record.
"""

import asyncio
import time
from collections.abc import Callable

from accounting.money.entry import Attempt
from routing.formats.base import Inbound, Outbound
from routing.formats.compat import BETA, DROP, Registry, Rule
from routing.formats.compat_rules import SHIPPED
from routing.formats.errors import refusal_of
from routing.formats.faults import NotBridgeable
from routing.formats.peek import BadBody
from routing.formats.read_faults import read_error
from routing.formats.translate import to_upstream
from routing.formats.wording import rejected_beta
from routing.health import Health
from routing.observations import Observations
from routing.proxy.errors import invalid
from routing.proxy.exchange import Exchange
from routing.proxy.upstream import Answer, Fault, UpstreamClient
from routing.resolve import Resolution
from routing.targets import RouteConf, TargetConf

SHORT_WAIT = 2.0  # seconds; an upstream that asks for more is left for the next target
FIRST_PAUSE = 0.25  # seconds before the same target is called again; doubles each time, with jitter
MOST_NOTED = 100  # names of what was left out that a record keeps; a client chooses how many there are
LONGEST_NOTED = 200
TARGET_FAULTS = frozenset({"connect", "timeout", 401, 408, 429, 500, 502, 503, 504, 529})


class Attempts:
    """The upstream calls of one request. After `first_answer`, `target` is the one that answered."""

    __slots__ = (
        "_exchange", "_health", "_inbound", "_observations", "_open", "_random", "_registry", "_resolution", "_route",
        "_upstreams", "target",
    )  # fmt: skip

    def __init__(
        self,
        exchange: Exchange,
        inbound: Inbound,
        route: RouteConf,
        resolution: Resolution,
        upstreams: UpstreamClient,
        health: Health,
        registry: Registry,
        random: Callable[[], float],
        observations: Observations,
    ) -> None:
        self._exchange = exchange
        self._inbound: Inbound | None = inbound
        self._route = route
        self._resolution = resolution
        self._upstreams = upstreams
        self._health = health
        self._registry = registry
        self._random = random
        self._observations = observations
        self._open = False
        self.target: TargetConf = resolution.candidates[0].target

    def let_go(self) -> None:
        """Forgets the request's body: no further call will be made."""
        self._inbound = None

    async def first_answer(self) -> Answer:
        """The first answer with a status of 2xx. Raises the last call's `Fault` if there is none."""
        targets = [candidate.target for candidate in self._resolution.candidates]
        number = 0
        while True:
            self.target = target = targets[number % len(targets)]
            number += 1
            try:
                return await self._call(target)
            except Fault as error:
                fault = error
                last = self._spent or self._exchange.reply.left
                if last or fault.kind not in self._route.retry_on:
                    raise
                again = number >= len(targets)
                wait = self._pause(fault, number - len(targets), again=again)
                if wait is None:
                    raise
            if wait:
                await asyncio.sleep(wait)
                if self._exchange.reply.left:
                    raise fault

    def _pause(self, fault: Fault, round_: int, *, again: bool) -> float | None:
        """Seconds before the next call; None when waiting is the client's business."""
        asked = fault.retry_after
        if not again:
            return 0.0  # another target, at once
        if asked is not None:
            return asked * (1 + 0.1 * self._random()) if asked <= SHORT_WAIT else None
        if fault.kind == 429:
            return None
        return FIRST_PAUSE * 2.0**round_ * (0.5 + self._random())

    async def _call(self, target: TargetConf) -> Answer:
        outbound = self._translate(target, self._registry)
        try:
            return await self._send(target, outbound)
        except Fault as fault:
            fault.format, fault.betas = target.provider.format, outbound.betas_sent
            beta = self._complaint(fault)
            if not beta or self._exchange.reply.left or self._spent:
                raise
        # An upstream that does not know a beta says so; without it, and what belongs to it, the request goes once more.
        asked = next((name for name, sent in outbound.betas_renamed if sent == beta), beta)
        rule = Rule(BETA, asked, target.provider.format, DROP, model=target.model)
        return await self._send(target, self._translate(target, Registry(SHIPPED, (*self._registry.rules, rule))))

    @property
    def _spent(self) -> bool:
        """Whether the route allows no further call for this request."""
        return len(self._exchange.entry.attempts) >= self._route.max_attempts

    def _complaint(self, fault: Fault) -> str:
        """The beta that an upstream of another format has refused, if it is one that was sent; it is noted for people."""
        if fault.status != 400 or not fault.betas or self._exchange.call.format == fault.format:
            return ""
        text = read_error(fault.format, fault.status, fault.headers, fault.body).message
        beta = rejected_beta(text, fault.betas)
        if beta not in fault.betas:
            return ""
        self._observations.refused(beta, self.target, text)
        return beta

    async def _send(self, target: TargetConf, outbound: Outbound) -> Answer:
        begin = time.monotonic()
        self._health.started(target, begin)
        self._open = True
        error, status = "cancelled", 0
        try:
            answer = await self._upstreams.open(target.provider, outbound)
            error, status = "", answer.status
            now = time.monotonic()
            self._health.succeeded(target, now - begin, now)
            return answer
        except Fault as fault:
            error, status = fault.detail, fault.status
            if fault.kind in TARGET_FAULTS:
                now = time.monotonic()
                self._health.failed(target, fault.kind, now, route=self._route, retry_after=fault.retry_after)
            raise
        finally:
            spent = round((time.monotonic() - begin) * 1000, 3)
            self._exchange.attempted(Attempt(target.provider.name, target.model, status, error[:300], spent))
            if error:
                self.ended(good=None)

    def _translate(self, target: TargetConf, registry: Registry) -> Outbound:
        assert self._inbound is not None
        exchange, provider = self._exchange, target.provider
        try:
            outbound = to_upstream(
                self._inbound,
                upstream_format=provider.format,
                upstream_model=target.model,
                registry=registry,
                provider_region=provider.region,
                provider_project=provider.project,
                secret=exchange.secret,
                query=exchange.call.query,
            )
        except NotBridgeable as error:
            raise refusal_of(error) from None
        except BadBody as error:
            raise invalid(str(error), "bad_body") from None
        exchange.entry.betas_removed = noted(outbound.betas_removed)
        exchange.entry.fields_removed = noted(outbound.fields_removed)
        self._observations.removed(target, outbound)
        exchange.betas_sent = outbound.betas_sent
        return outbound

    def ended(self, *, good: bool | None) -> None:
        """The call to `target` is over; `good` is false for a stream that died, None if nothing is to be said of it."""
        if not self._open:
            return
        self._open = False
        if good is False:
            self._health.failed(self.target, 500, time.monotonic(), route=self._route)
        self._health.finished(self.target)


def noted(names: tuple[str, ...]) -> list[str]:
    """What was left out, as a record keeps it."""
    return [name[:LONGEST_NOTED] for name in names[:MOST_NOTED]]
