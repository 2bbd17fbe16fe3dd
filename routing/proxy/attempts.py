"""Calls upstreams until one answers: which failures lead to another call, to whom, after which wait.

All of it happens before the client has got a byte. What the failed calls were is on the record.
"""

import asyncio
import time
from collections.abc import Callable

from accounting.money.entry import Attempt
from routing.breaker import DIED
from routing.formats import faults
from routing.formats.base import Inbound, Outbound
from routing.formats.compat import BETA, DROP, Registry, Rule
from routing.formats.compat_rules import SHIPPED
from routing.formats.errors import refusal_of
from routing.formats.faults import NotBridgeable
from routing.formats.peek import BadBody
from routing.formats.read_faults import read_error
from routing.formats.translate import to_upstream
from routing.formats.wording import rejected_beta, scrub
from routing.health import Health
from routing.observations import Observations
from routing.proxy.errors import deadline_over, invalid, overloaded
from routing.proxy.exchange import Cause, Exchange
from routing.proxy.turns import Turns
from routing.proxy.upstream import Answer, Fault, UpstreamClient
from routing.resolve import Resolution
from routing.targets import RouteConf, TargetConf

MOST_NOTED = 100  # names of what was left out that a record keeps; a client chooses how many there are
LONGEST_NOTED = 200
TARGET_FAULTS = frozenset({"connect", "timeout", 401, 408, 429, 500, 502, 503, 504, 529})
CONTENT_FAULTS = frozenset({400, 413, 422})  # would be refused anywhere: never sent again, whatever a route says
# Errors inside a stream that say something of the request, not of the target.
CONTENT_ERRORS = frozenset({"invalid_request_error", "request_too_large", "permission_error", "not_found_error"})


class Attempts:
    """The upstream calls of one request. After `first_answer`, `target` is the one that answered."""

    __slots__ = (
        "_deadline", "_exchange", "_health", "_inbound", "_observations", "_open", "_probe", "_registry", "_route",
        "_turns", "_upstreams", "target",
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
        self._upstreams = upstreams
        self._health = health
        self._registry = registry
        self._observations = observations
        self._open = self._probe = False
        self._deadline = exchange.started + route.deadline
        self._turns = Turns((candidate.target for candidate in resolution.candidates), health, random)
        self.target: TargetConf = resolution.candidates[0].target

    def let_go(self) -> None:
        """Forgets the request's body: no further call will be made."""
        self._inbound = None

    async def first_answer(self) -> Answer:
        """The first answer with a status of 2xx. Raises the last call's `Fault` if there is none, and `GatewayError` if
        no call could be made at all."""
        target = self._first_target()
        budget = self._health.retries
        budget.called(time.monotonic())
        try:
            while True:
                self.target = target
                try:
                    return await self._call(target)
                except Fault as fault:
                    if self._final(fault):
                        raise
                    target = await self._next_target(fault)
        finally:
            budget.answered()

    def _first_target(self) -> TargetConf:
        now = time.monotonic()
        if now >= self._deadline:
            raise deadline_over()
        target = self._turns.first(now)
        if target is None:  # all were taken away between the choice and the call
            seconds = max(1, round(self._turns.soonest(now)))
            raise overloaded(f"No provider can serve this at the moment; try again in {seconds} s.", seconds)
        return target

    def _final(self, fault: Fault) -> bool:
        """Whether this failure is the client's to hear, at once."""
        if time.monotonic() >= self._deadline:
            self._exchange.entry.reason = "deadline"
            return True
        if fault.kind in CONTENT_FAULTS or fault.kind not in self._route.retry_on:
            return True
        return self._spent or self._exchange.reply.left

    async def _next_target(self, fault: Fault) -> TargetConf:
        """The target of the next call, once its moment has come. Raises `fault` if there is to be none."""
        entry, now = self._exchange.entry, time.monotonic()
        calls = sum((each.provider, each.model) == self.target.key for each in entry.attempts)
        self._turns.failed(self.target, now, kind=fault.kind, asked=fault.retry_after, calls=calls)
        while turn := self._turns.next(now):
            target, moment = turn
            if moment >= self._deadline:
                entry.reason = "deadline"
                break
            if moment > now:
                await asyncio.sleep(moment - now)
                now = time.monotonic()
                if self._exchange.reply.left:
                    break
                if self._health.look(target, now).reason:
                    continue  # others have found out meanwhile that it cannot be called
            if not self._health.retries.take(now):
                entry.reason = "retry_budget"
                break
            return target
        raise fault

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
        outbound = self._translate(target, Registry(SHIPPED, (*self._registry.rules, rule)))
        try:
            return await self._send(target, outbound)
        except Fault as fault:
            fault.format, fault.betas = target.provider.format, outbound.betas_sent
            raise

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
        self._probe = self._health.started(target, begin)
        self._open = True
        error, status = "cancelled", 0
        try:
            answer = await self._upstreams.open(
                target.provider, outbound, within=max(0.0, self._deadline - begin), alarm=self._exchange.alarm
            )
            error, status = "", answer.status
            now = time.monotonic()
            self._health.succeeded(target, now - begin, now, probe=self._probe)
            return answer
        except Fault as fault:
            error, status = fault.detail, fault.status
            self._blame(target, fault, time.monotonic())
            raise
        finally:
            spent = round((time.monotonic() - begin) * 1000, 3)
            self._exchange.attempted(Attempt(target.provider.name, target.model, status, error[:300], spent))
            if error:
                self.ended(good=None)

    def _blame(self, target: TargetConf, fault: Fault, now: float) -> None:
        """Tells health of a failure that is the target's: not the request's own, nor that its time was over."""
        words, kind = fault.detail, fault.kind
        if fault.kind == "timeout" and now >= self._deadline:
            return
        if fault.status >= 400:
            said = read_error(target.provider.format, fault.status, fault.headers, fault.body)
            words = f"{fault.status} {scrub(said.message)}"
            if said.kind == faults.CREDENTIAL:
                kind = 401  # clouds say 403
        if kind in TARGET_FAULTS:
            self._health.failed(
                target,
                kind,
                now,
                route=self._route,
                retry_after=fault.retry_after,
                probe=self._probe,
                words=scrub(words),
            )

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

    def streamed(self, *, finished: bool) -> None:
        """The stream from `target` is over, and recorded; `finished` if its last event came."""
        exchange = self._exchange
        entry = exchange.entry
        nothing = exchange.reply.left or exchange.cause in (Cause.CLIENT_LEFT, Cause.SHUT_DOWN)
        if finished:
            self.ended(good=True)
        elif nothing or (entry.reason == "error_event" and entry.error_type in CONTENT_ERRORS):
            self.ended(good=None)
        else:
            kind = 429 if entry.error_type == "rate_limit_error" else DIED
            self.ended(good=False, kind=kind, words=entry.error_message)

    def ended(self, *, good: bool | None, kind: str | int = DIED, words: str = "") -> None:
        """The call to `target` is over; `good` is false for an answer that died, None if nothing is to be said of it."""
        if not self._open:
            return
        self._open = False
        now = time.monotonic()
        if good is False:
            self._health.failed(self.target, kind, now, route=self._route, probe=self._probe, words=scrub(words))
        self._health.finished(self.target, now, probe=self._probe, good=good is True)


def noted(names: tuple[str, ...]) -> list[str]:
    """What was left out, as a record keeps it."""
    return [name[:LONGEST_NOTED] for name in names[:MOST_NOTED]]
