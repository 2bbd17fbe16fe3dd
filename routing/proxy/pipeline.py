"""The story of one request, in the order in which it happens. Read this first.

    receive → authenticate → parse → admit → resolve → translate → send → relay + meter → price → record

Nothing here asks the database: configuration is read from `House.snapshot`, identities from `House.directory`. Each step
raises `GatewayError` when the story ends there; every story ends in exactly one record.
"""

import time

from accounting.access.directory import Directory, refusal_of
from accounting.access.grant import Grant
from routing.decide import Routed, route_for, targets_for
from routing.formats import anthropic, bedrock, vertex
from routing.formats.base import ANTHROPIC, BATCHES, BEDROCK, FILES, MESSAGES, MODELS, Inbound
from routing.formats.carriers import credentials_of
from routing.formats.errors import refusal_of as refused
from routing.formats.faults import NotBridgeable
from routing.formats.peek import BadBody
from routing.proxy import attempts, catalogue
from routing.proxy.errors import (
    GatewayError,
    invalid,
    key_refused,
    no_such_file,
    not_ready,
    records_full,
    shutting_down,
    unauthenticated,
)
from routing.proxy.exchange import Call, Exchange
from routing.proxy.house import House
from routing.proxy.relay import STREAM_TYPES, StreamRelay, relay_whole, upstream_id
from routing.proxy.upstream import Answer
from routing.resolve import Resolution
from routing.shadows import shadowed
from routing.snapshot import Snapshot

MOST_KEYS = 4  # that are looked up of one request


async def serve(exchange: Exchange, house: House) -> None:
    """One request from its head to its record. Raises `GatewayError` for what the client has to be told."""
    if house.draining:
        raise shutting_down()
    if not house.informed:
        raise not_ready()
    if not house.recorder.accepting:
        raise records_full()
    snapshot = house.snapshot  # one picture from here to the end, whatever changes meanwhile
    exchange.grant = grant = authenticate(exchange, house.directory)
    if exchange.call.operation == MODELS:
        await catalogue.answer(exchange, snapshot)
        return
    if exchange.call.operation in (BATCHES, FILES):
        limits = house.directory.limits.of(grant)
        exchange.may_spend = lambda models: house.limits.check(exchange, models, limits)
        await house.passthrough.serve(exchange, snapshot)
        return
    inbound = await parse(exchange)
    if exchange.call.operation == MESSAGES:
        exchange.entry.resend_of = house.resends.match(exchange.entry, exchange.size, time.monotonic())
    routed = allowed(exchange, grant, inbound, snapshot)
    await house.limits.admit(exchange, inbound, routed.route, house.directory.limits.of(grant))
    if foreign := house.passthrough.owners.foreign_file(inbound.body, grant.team):
        raise no_such_file(foreign)
    resolution = choose(exchange, inbound, routed, house, snapshot)
    # The record's opening: should the process die from here on, the request is still accounted for.
    house.recorder.opened(exchange.entry)
    exchange.drains = not inbound.stream
    sent = attempts.Attempts(
        exchange,
        inbound,
        routed.route,
        resolution,
        house.upstreams,
        house.health,
        snapshot.registry,
        house.random,
        house.observations,
    )
    del inbound, resolution  # the body may be megabytes; only the attempts still need it
    answer = await sent.first_answer()
    await relay(exchange, sent, answer, house, routed.sticky_key)


def authenticate(exchange: Exchange, directory: Directory) -> Grant:
    """The caller's grant, from `Authorization` or else `x-api-key`: the first that is a key of this gateway counts."""
    if exchange.call.insider is not None:
        return _named(exchange, exchange.call.insider)
    presented = credentials_of(exchange.call.headers)[:MOST_KEYS]
    for secret in presented:
        grant = directory.find(secret)
        if grant is None:
            continue
        exchange.secret = secret.encode("latin-1")
        _named(exchange, grant)
        reason = refusal_of(grant, now=time.time(), client_ip=exchange.call.client_ip)
        if reason:
            raise key_refused(reason)
        return grant
    if not presented:
        raise unauthenticated(
            "No key was sent. Put the gateway's key into `Authorization: Bearer` or `x-api-key`.", "no_key"
        )
    raise unauthenticated("This key is not known to the gateway.", "unknown_key")


def _named(exchange: Exchange, grant: Grant) -> Grant:
    """The same grant, with its names on the record."""
    entry = exchange.entry
    entry.team, entry.project, entry.user = grant.team, grant.project, grant.user
    entry.key, entry.key_prefix = grant.key, grant.key_prefix
    entry.tags = dict(grant.tags)
    return grant


async def parse(exchange: Exchange) -> Inbound:
    """The request, understood as far as needed. 400 for a body that no upstream would take."""
    call, entry = exchange.call, exchange.entry
    body = await call.read_body()
    exchange.size = len(body)
    try:
        inbound = _parsed(call, body)
    except BadBody as error:
        raise invalid(str(error), "bad_body") from None
    except NotBridgeable as error:
        raise refused(error) from None
    entry.alias, entry.stream = inbound.model[:300], inbound.stream
    entry.session_id, entry.agent_id = inbound.session_id, inbound.agent_id
    entry.parent_agent_id = inbound.parent_agent_id
    return inbound


def _parsed(call: Call, body: bytes) -> Inbound:
    if call.format == ANTHROPIC:
        return anthropic.parse(call.operation, call.headers, body)
    if call.format == BEDROCK:
        return bedrock.parse(call.raw_path, call.headers, body)
    return vertex.parse(call.raw_path, call.headers, body)


def allowed(exchange: Exchange, grant: Grant, inbound: Inbound, snapshot: Snapshot) -> Routed:
    """The route of a model that exists and that the caller may use."""
    exchange.entry.config_revision = snapshot.revision
    routed = route_for(inbound, grant, snapshot, time.time())
    exchange.entry.route = routed.route.name
    exchange.notices = routed.notices
    return routed


def choose(exchange: Exchange, inbound: Inbound, routed: Routed, house: House, snapshot: Snapshot) -> Resolution:
    """The targets to try, in order; 529 if none is to be tried now. A draft of the route is asked, too, if there is one."""
    now, grant = time.monotonic(), exchange.grant
    resolution = targets_for(inbound, routed, snapshot, house.health, now=now, random=house.random)
    draft = snapshot.shadows.get(routed.route.name) if snapshot.shadows else None
    if draft is not None and grant is not None and exchange.entry.started_at < draft.until:
        exchange.shadowed = shadowed(draft, inbound, grant, snapshot, house.health, now=now, random=house.random)
    return resolution


async def relay(exchange: Exchange, sent: attempts.Attempts, answer: Answer, house: House, sticky: str) -> None:
    """The answer's way to the client; what it used is on the record, whatever happens on the way."""
    provider, inference = sent.target.provider, exchange.call.operation == MESSAGES
    if inference:
        house.sessions.answered(exchange.entry, sticky, sent.target.key, time.monotonic())
    exchange.entry.upstream_request_id = upstream_id(answer)
    try:
        if inference and answer.content_type in STREAM_TYPES:
            exchange.drains = provider.drain
            sent.let_go()
            stream = StreamRelay(exchange, answer, provider, ping=house.ping_seconds)
            await stream.run()
            sent.streamed(finished=stream.meter.finished)
        else:
            await relay_whole(exchange, answer, provider)
            sent.ended(good=True)
    except GatewayError as error:  # the answer began, and never came to its end
        sent.ended(good=False, words=error.message)
        raise
    finally:
        sent.ended(good=None)
        if inference:
            house.sessions.ended(exchange.entry, sticky, sent.target.key, time.monotonic())
