"""The limits at the gateway's door: what a request may use is reserved before it is sent anywhere."""

from dataclasses import dataclass

from accounting.limits.admission import Admission, Demand
from accounting.limits.book import Limits
from accounting.limits.counters import CountersLost
from accounting.limits.refusal import LimitReached
from accounting.limits.wording import ASK_PATH
from routing.formats.base import COUNT_TOKENS, Inbound, header
from routing.proxy.errors import GatewayError
from routing.proxy.exchange import Exchange
from routing.proxy.limit_answers import counters_lost, limit_headers, reached_headers, refused
from routing.targets import RouteConf


@dataclass(frozen=True, slots=True)
class Allowance:
    """One of a process. `public_url` is the gateway's address; empty: the one that a request came to."""

    admission: Admission
    public_url: str = ""

    async def admit(self, exchange: Exchange, inbound: Inbound, route: RouteConf, limits: Limits) -> None:
        """Reserves what the request may use; the exchange gets the ticket, and headers that say how the limits stand.

        Raises `GatewayError`: 429 where a limit is reached, 503 if nobody can tell.
        """
        if inbound.operation == COUNT_TOKENS:
            await self._count(exchange, limits)
            return
        if not limits.budgets and not limits.rates:
            return
        now = exchange.entry.started_at
        demand = Demand(
            limits,
            inbound.model,
            route.keys,
            stream=inbound.stream,
            size=len(inbound.body),
            max_tokens=inbound.max_tokens,
            now=now,
        )
        try:
            exchange.ticket = ticket = await self.admission.admit(demand)
        except LimitReached as reached:
            raise self._refused(exchange, reached) from None
        except CountersLost:
            raise counters_lost() from None
        if ticket is not None:
            exchange.limit_headers = limit_headers(ticket.plan, ticket.decision, now)

    async def check(self, exchange: Exchange, models: tuple[str, ...], limits: Limits) -> None:
        """Whether something that is paid for later may be begun for these models: no hard budget is used up."""
        demand = Demand(limits, models[0], tuple(("", name) for name in models[1:]), now=exchange.entry.started_at)
        try:
            await self.admission.check(demand)
        except LimitReached as reached:
            raise self._refused(exchange, reached) from None
        except CountersLost:
            raise counters_lost() from None

    async def _count(self, exchange: Exchange, limits: Limits) -> None:
        try:
            decision = await self.admission.count(limits)
        except LimitReached as reached:
            raise self._refused(exchange, reached) from None
        except CountersLost:
            return  # counting costs nothing; that the counters are away is no reason to refuse it
        exchange.limit_headers = limit_headers(limits.counting(), decision, exchange.entry.started_at)

    def _refused(self, exchange: Exchange, reached: LimitReached) -> GatewayError:
        call = exchange.call
        exchange.limit_headers = reached_headers(reached, exchange.entry.started_at)
        base = self.public_url or f"{call.scheme}://{header(call.headers, b'host').decode('latin-1')}"
        return refused(reached, base + ASK_PATH)
