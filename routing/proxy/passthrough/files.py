"""Files: uploads and downloads pass unchanged; a file is its team's."""

from accounting.access.grant import Grant
from routing.proxy.exchange import Exchange
from routing.proxy.passthrough import listing
from routing.proxy.passthrough.calls import outbound, reply_stream, reply_whole, whole
from routing.proxy.passthrough.choice import files_provider
from routing.proxy.passthrough.desk import FILE, ROOTS, Desk, claim_of, keeper
from routing.snapshot import Snapshot

_ROOT = ROOTS[FILE]


async def upload(desk: Desk, exchange: Exchange, snapshot: Snapshot, grant: Grant, body: bytes) -> None:
    """A new file, at the provider of this caller's models; the form is passed on as it came."""
    provider = files_provider(snapshot, grant)
    claim = claim_of(FILE, provider, grant)
    answer, told, _ = await desk.make(exchange, provider, outbound(exchange, "POST", _ROOT, body), claim)
    await reply_whole(exchange, answer, told)


async def page(desk: Desk, exchange: Exchange, snapshot: Snapshot, grant: Grant) -> None:
    """The team's own files, newest first."""
    found = await listing.listed(desk, exchange, snapshot, FILE, grant)
    await listing.send_page(exchange, listing.page_body(found, [body for _, body in found.things], FILE))


async def one(desk: Desk, exchange: Exchange, snapshot: Snapshot, grant: Grant) -> None:
    """What is known of a file."""
    owned = await desk.owned(FILE, exchange.call.subject, grant)
    answer = await desk.pass_on(exchange, owned, snapshot, outbound(exchange, "GET", f"{_ROOT}/{owned.id}"))
    await reply_whole(exchange, answer, await whole(answer, keeper(owned, snapshot)))


async def download(desk: Desk, exchange: Exchange, snapshot: Snapshot, grant: Grant) -> None:
    """A file's content, as it comes."""
    owned = await desk.owned(FILE, exchange.call.subject, grant)
    request = outbound(exchange, "GET", f"{_ROOT}/{owned.id}/content", opaque=True)
    answer = await desk.pass_on(exchange, owned, snapshot, request)
    await reply_stream(exchange, answer, keeper(owned, snapshot), passed=lambda _: None, ended=lambda: None)


async def delete(desk: Desk, exchange: Exchange, snapshot: Snapshot, grant: Grant) -> None:
    owned = await desk.owned(FILE, exchange.call.subject, grant)
    exchange.drains = True
    answer = await desk.pass_on(exchange, owned, snapshot, outbound(exchange, "DELETE", f"{_ROOT}/{owned.id}"))
    await desk.gone(exchange, owned, answer, keeper(owned, snapshot))
