"""Lists of a team's own batches and files: which, from memory; how they look, from the providers that keep them."""

import asyncio
import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import parse_qs

from accounting.access.grant import Grant
from routing.formats.batch import shown
from routing.proxy.errors import invalid
from routing.proxy.exchange import Exchange
from routing.proxy.passthrough.calls import ask, outbound, whole
from routing.proxy.passthrough.desk import FILE, ROOTS, Desk
from routing.proxy.passthrough.owners import Owned, Page
from routing.proxy.upstream import Fault
from routing.snapshot import Snapshot

MOST_SHOWN = 100  # on a page, whatever was asked for: each is a call upstream
AT_ONCE = 8
ROUNDS = 3  # of filling a page whose things are gone upstream
_CURSOR = "page_"


@dataclass(frozen=True, slots=True)
class Query:
    """What a list is asked for. `ids` are those of a list by ids; None for a page."""

    limit: int
    after: str = ""
    before: str = ""
    ids: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """A page as it is shown: the things, each with the JSON of the provider that keeps it."""

    things: Sequence[tuple[Owned, bytes]]
    first: str
    last: str
    more: bool


def read_query(query: bytes) -> Query:
    """Pages by `after_id` and `before_id`, or by `page`; or a list of `ids`. 400 for what makes no sense."""
    try:
        fields = parse_qs(query.decode("latin-1"), max_num_fields=200)
    except ValueError:
        raise invalid("The query has too many fields.", "bad_query") from None
    text = fields.get("limit", ["20"])[0]
    if not text.isdecimal() or not 1 <= int(text[:9]) <= 1000:
        raise invalid("limit: must be a whole number from 1 to 1000", "bad_query")
    ids = [id_ for name in ("ids", "ids[]") for value in fields.get(name, []) for id_ in value.split(",")]
    if len(set(ids)) > MOST_SHOWN:
        raise invalid(f"ids: at most {MOST_SHOWN}", "bad_query")
    after = fields.get("after_id", [""])[0] or _from_cursor(fields.get("page", [""])[0])
    return Query(min(int(text), MOST_SHOWN), after, fields.get("before_id", [""])[0], tuple(ids) if ids else None)


async def listed(desk: Desk, exchange: Exchange, snapshot: Snapshot, kind: str, grant: Grant) -> Listed:
    """The page that the request asks for. Things that the provider no longer has are left out. Raises `Fault`."""
    query = read_query(exchange.call.query)
    desk.recorder.opened(exchange.entry)
    if query.ids is not None:
        own = [thing for id_ in dict.fromkeys(query.ids) if (thing := desk.owners.find(kind, id_))]
        page = Page([thing for thing in own if thing.team == grant.team], False)
        return _listed(await _fetched(desk, exchange, snapshot, page.things), page.things, more=False)
    found: list[tuple[Owned, bytes]] = []
    looked_at: list[Owned] = []
    after = query.after
    for _ in range(1 if query.before else ROUNDS):
        limit = query.limit - len(found)
        page = desk.owners.page(kind, grant.team, limit=limit, after=after, before=query.before)
        found += await _fetched(desk, exchange, snapshot, page.things)
        looked_at += page.things
        if not page.more or len(found) >= query.limit:
            break
        after = page.things[-1].id
    return _listed(found, looked_at, more=page.more)


def _listed(found: Sequence[tuple[Owned, bytes]], looked_at: Sequence[Owned], *, more: bool) -> Listed:
    ends = [thing for thing, _ in found] or looked_at
    return Listed(found, ends[0].id if ends else "", ends[-1].id if ends else "", more)


async def _fetched(
    desk: Desk, exchange: Exchange, snapshot: Snapshot, things: Sequence[Owned]
) -> list[tuple[Owned, bytes]]:
    """How the things look, without those that are gone."""
    turn = asyncio.Semaphore(AT_ONCE)

    async def look(thing: Owned) -> bytes | None:
        provider = snapshot.providers.get(thing.provider)
        if provider is None:
            return None
        async with turn:
            request = outbound(exchange, "GET", f"{ROOTS[thing.kind]}/{thing.id}")
            try:
                body = await whole(await ask(exchange, desk.upstreams, provider, request), provider)
            except Fault as fault:
                if fault.status == 404:
                    return None
                raise
        return body if shown(body).id == thing.id else None

    tasks = [asyncio.ensure_future(look(thing)) for thing in things]
    try:
        bodies = await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
    return [(thing, body) for thing, body in zip(things, bodies, strict=True) if body is not None]


def page_body(page: Listed, bodies: Sequence[bytes], kind: str) -> bytes:
    """The list as the provider would show it; files are paged by cursor, too."""
    ends = {"has_more": page.more, "first_id": page.first or None, "last_id": page.last or None}
    if kind == FILE:
        ends["next_page"] = _cursor(page.last) if page.more else None
    return b'{"data":[' + b",".join(bodies) + b"]," + json.dumps(ends, separators=(",", ":")).encode()[1:]


async def send_page(exchange: Exchange, body: bytes) -> None:
    headers = [
        (b"content-type", b"application/json"),
        (b"cache-control", b"no-cache"),
        (b"content-length", str(len(body)).encode()),
        *exchange.id_headers(),
    ]
    exchange.record("client_left" if exchange.reply.left else "served", 200)
    await exchange.reply.start(200, headers)
    await exchange.reply.send(body, more=False)


def _cursor(id_: str) -> str:
    return _CURSOR + base64.urlsafe_b64encode(id_.encode()).decode().rstrip("=")


def _from_cursor(text: str) -> str:
    if not text:
        return ""
    try:
        coded = text.removeprefix(_CURSOR)
        return base64.b64decode(coded + "=" * (-len(coded) % 4), altchars=b"-_", validate=True).decode()
    except ValueError:
        raise invalid("page: is not a cursor of this list", "bad_query") from None
