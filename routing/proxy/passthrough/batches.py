"""Message batches: made with the names of this gateway, read by their own team, metered by their results."""

import asyncio
import time

from accounting.access.grant import Grant
from routing.formats.base import header
from routing.formats.batch import shown, with_results_url
from routing.proxy.errors import no_such_file, upstream_failed
from routing.proxy.exchange import Exchange
from routing.proxy.passthrough import listing
from routing.proxy.passthrough.calls import outbound, reply_stream, reply_whole, whole
from routing.proxy.passthrough.choice import plan_batch
from routing.proxy.passthrough.desk import BATCH, ROOTS, Desk, claim_of, keeper
from routing.proxy.passthrough.metering import FAILURES, results_path
from routing.proxy.passthrough.owners import Owned
from routing.proxy.upstream import Fault
from routing.snapshot import Snapshot

_ROOT = ROOTS[BATCH]
_IN_THREAD = 64 * 1024  # bytes; editing more than this would stop the event loop for long
_NOTHING_TO_READ = (400, 404, 409)  # what an upstream answers where a batch has no results


async def create(desk: Desk, exchange: Exchange, snapshot: Snapshot, grant: Grant, body: bytes) -> None:
    """A new batch, with every `params.model` as its provider calls it."""
    if foreign := desk.owners.foreign_file(body, grant.team):
        raise no_such_file(foreign)
    if len(body) > _IN_THREAD:
        plan = await asyncio.to_thread(plan_batch, body, snapshot, grant, time.time())
    else:
        plan = plan_batch(body, snapshot, grant, time.time())
    exchange.notices = plan.notices
    exchange.entry.alias, exchange.entry.route = plan.alias[:300], plan.route
    if exchange.may_spend is not None:
        await exchange.may_spend((plan.alias, *plan.aliases, *plan.aliases.values()))
    provider = plan.target.provider
    request = outbound(exchange, "POST", _ROOT, plan.body)
    claim = claim_of(BATCH, provider, grant, dict(plan.aliases))
    answer, told, owned = await desk.make(exchange, provider, request, claim, plan.target.model)
    await reply_whole(exchange, answer, with_results_url(told, results_url(desk, exchange, owned.id)))


async def page(desk: Desk, exchange: Exchange, snapshot: Snapshot, grant: Grant) -> None:
    """The team's own batches, newest first."""
    found = await listing.listed(desk, exchange, snapshot, BATCH, grant)
    bodies = [_seen(desk, exchange, snapshot, owned, body) for owned, body in found.things]
    await listing.send_page(exchange, listing.page_body(found, bodies, BATCH))


async def one(desk: Desk, exchange: Exchange, snapshot: Snapshot, grant: Grant) -> None:
    """A batch as it stands."""
    owned = await desk.owned(BATCH, exchange.call.subject, grant)
    await _shown(desk, exchange, snapshot, owned, "GET", f"{_ROOT}/{owned.id}")


async def cancel(desk: Desk, exchange: Exchange, snapshot: Snapshot, grant: Grant, body: bytes) -> None:
    owned = await desk.owned(BATCH, exchange.call.subject, grant)
    exchange.drains = True
    await _shown(desk, exchange, snapshot, owned, "POST", f"{_ROOT}/{owned.id}/cancel", body)


async def delete(desk: Desk, exchange: Exchange, snapshot: Snapshot, grant: Grant) -> None:
    """Deletes a batch once its usage is on record: its results go with it."""
    owned = await desk.owned(BATCH, exchange.call.subject, grant)
    exchange.drains = True
    provider = keeper(owned, snapshot)
    if not owned.priced:
        try:
            await desk.metering.read(owned, provider)
        except FAILURES as error:
            if not isinstance(error, Fault) or error.status not in _NOTHING_TO_READ:
                text = "The usage of this batch cannot be read at the moment; delete it when it can."
                raise upstream_failed(text, "results_unreadable", status=503) from None
    answer = await desk.pass_on(exchange, owned, snapshot, outbound(exchange, "DELETE", f"{_ROOT}/{owned.id}"))
    await desk.gone(exchange, owned, answer, provider)


async def results(desk: Desk, exchange: Exchange, snapshot: Snapshot, grant: Grant) -> None:
    """The results, unchanged; read to their end even if the client leaves, until their usage is on record."""
    owned = await desk.owned(BATCH, exchange.call.subject, grant)
    exchange.drains = not owned.priced
    request = outbound(exchange, "GET", results_path(owned.id), opaque=True)
    meter = desk.metering.meter(owned, keeper(owned, snapshot))
    desk.metering.reading(owned)
    try:
        answer = await desk.pass_on(exchange, owned, snapshot, request)
        await reply_stream(
            exchange,
            answer,
            keeper(owned, snapshot),
            passed=meter.feed,
            ended=lambda: desk.metering.settle(owned, meter),
        )
    finally:
        desk.metering.read_out(owned)


async def _shown(
    desk: Desk, exchange: Exchange, snapshot: Snapshot, owned: Owned, method: str, path: str, body: bytes = b""
) -> None:
    answer = await desk.pass_on(exchange, owned, snapshot, outbound(exchange, method, path, body))
    told = await whole(answer, keeper(owned, snapshot))
    await reply_whole(exchange, answer, _seen(desk, exchange, snapshot, owned, told))


def _seen(desk: Desk, exchange: Exchange, snapshot: Snapshot, owned: Owned, body: bytes) -> bytes:
    """The batch as the client sees it; one that has ended is metered."""
    if shown(body).ended:
        desk.metering.ended(owned, keeper(owned, snapshot))
    return with_results_url(body, results_url(desk, exchange, owned.id))


def results_url(desk: Desk, exchange: Exchange, id_: str) -> str:
    """Where this client fetches the results: at this gateway, by the address and the mount that it came by."""
    call = exchange.call
    base = desk.public_url or f"{call.scheme}://{header(call.headers, b'host').decode('latin-1')}"
    mount = "/anthropic" if call.raw_path.lstrip(b"/").startswith(b"anthropic/") else ""
    return base + mount + results_path(id_)
