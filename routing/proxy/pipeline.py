"""The story of one request, in the order in which it happens. Read this first.

    receive → authenticate → parse → admit → resolve → translate → send → relay + meter → record

Nothing here asks the database: configuration is read from `House.snapshot`, identities from `House.directory`. Each step
raises `GatewayError` when the story ends there; every story ends in exactly one record.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from accounting.access.directory import Directory, allows, refusal_of
from accounting.access.grant import Grant
from accounting.money.recorder import Recorder
from routing.capability import capable
from routing.formats import anthropic, bedrock, vertex
from routing.formats.base import ANTHROPIC, BATCHES, BEDROCK, FILES, MESSAGES, MODELS, Inbound
from routing.formats.carriers import credentials_of
from routing.formats.errors import refusal_of as refused
from routing.formats.faults import NotBridgeable
from routing.formats.peek import BadBody
from routing.health import Health
from routing.observations import Observations
from routing.proxy import attempts, catalogue
from routing.proxy.allowance import Allowance
from routing.proxy.errors import (
    invalid,
    key_refused,
    no_such_file,
    not_ready,
    overloaded,
    policy_blocked,
    records_full,
    shutting_down,
    unauthenticated,
    unknown_model,
)
from routing.proxy.exchange import Call, Exchange
from routing.proxy.passthrough import PassThrough
from routing.proxy.relay import STREAM_TYPES, StreamRelay, relay_whole, upstream_id
from routing.proxy.upstream import Answer, UpstreamClient
from routing.resolve import Resolution, resolve
from routing.snapshot import Snapshot
from routing.targets import RouteConf

MOST_KEYS = 4  # that are looked up of one request


@dataclass(slots=True)
class House:
    """What a request needs to know and to use. `snapshot` and `directory` are swapped whole when they change."""

    snapshot: Snapshot
    directory: Directory
    recorder: Recorder
    upstreams: UpstreamClient
    health: Health
    ping_seconds: float
    random: Callable[[], float]
    observations: Observations
    passthrough: PassThrough
    limits: Allowance
    draining: bool = False


async def serve(exchange: Exchange, house: House) -> None:
    """One request from its head to its record. Raises `GatewayError` for what the client has to be told."""
    if house.draining:
        raise shutting_down()
    if house.snapshot.revision < 0 or house.directory.revision < 0:
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
    route = allowed(exchange, grant, inbound, snapshot)
    await house.limits.admit(exchange, inbound, route, house.directory.limits.of(grant))
    if foreign := house.passthrough.owners.foreign_file(inbound.body, grant.team):
        raise no_such_file(foreign)
    resolution = choose(exchange, inbound, route, house, snapshot)
    # The record's opening: should the process die from here on, the request is still accounted for.
    house.recorder.opened(exchange.entry)
    exchange.drains = not inbound.stream
    sent = attempts.Attempts(
        exchange,
        inbound,
        route,
        resolution,
        house.upstreams,
        house.health,
        snapshot.registry,
        house.random,
        house.observations,
    )
    del inbound, resolution  # the body may be megabytes; only the attempts still need it
    answer = await sent.first_answer()
    await relay(exchange, sent, answer, house)


def authenticate(exchange: Exchange, directory: Directory) -> Grant:
    """The caller's grant, from `Authorization` or else `x-api-key`: the first that is a key of this gateway counts."""
    presented = credentials_of(exchange.call.headers)[:MOST_KEYS]
    for secret in presented:
        grant = directory.find(secret)
        if grant is None:
            continue
        exchange.secret = secret.encode("latin-1")
        entry = exchange.entry
        entry.team, entry.project, entry.user = grant.team, grant.project, grant.user
        entry.key, entry.key_prefix = grant.key, grant.key_prefix
        reason = refusal_of(grant, now=time.time(), client_ip=exchange.call.client_ip)
        if reason:
            raise key_refused(reason)
        return grant
    if not presented:
        raise unauthenticated(
            "No key was sent. Put the gateway's key into `Authorization: Bearer` or `x-api-key`.", "no_key"
        )
    raise unauthenticated("This key is not known to the gateway.", "unknown_key")


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


def allowed(exchange: Exchange, grant: Grant, inbound: Inbound, snapshot: Snapshot) -> RouteConf:
    """The route of a model that exists and that the caller may use."""
    exchange.entry.config_revision = snapshot.revision
    alias = snapshot.find(inbound.model) or catalogue.foundation(snapshot, inbound, grant)
    if alias is None:
        raise unknown_model(inbound.model, snapshot.closest(inbound.model, lambda name: allows(grant, name)))
    if not catalogue.may_use(grant, inbound.model, alias):
        text = f"The model {inbound.model} is not allowed for this key. Ask your team's administrator for it."
        raise policy_blocked(text, "model_not_allowed")
    exchange.entry.route = alias.route.name
    return alias.route


def choose(exchange: Exchange, inbound: Inbound, route: RouteConf, house: House, snapshot: Snapshot) -> Resolution:
    """The targets to try, in order; 529 if none is to be tried now."""
    key = exchange.entry.key_prefix
    sticky = {"session": inbound.session_id or key, "key": key}.get(route.sticky, "")
    resolution = resolve(route, sticky_key=sticky, health=house.health, now=time.monotonic(), random=house.random)
    if not resolution.candidates:
        wait = max(1, round(resolution.retry_after or 30))
        raise overloaded(f"No provider can serve {inbound.model} at the moment; try again in {wait} s.", wait)
    try:
        return capable(inbound, resolution, snapshot.registry)
    except NotBridgeable as error:
        raise refused(error) from None
    except BadBody as error:
        raise invalid(str(error), "bad_body") from None


async def relay(exchange: Exchange, sent: attempts.Attempts, answer: Answer, house: House) -> None:
    """The answer's way to the client; what it used is on the record, whatever happens on the way."""
    provider = sent.target.provider
    exchange.entry.upstream_request_id = upstream_id(answer)
    try:
        if exchange.call.operation == MESSAGES and answer.content_type in STREAM_TYPES:
            exchange.drains = provider.drain
            sent.let_go()
            stream = StreamRelay(exchange, answer, provider, ping=house.ping_seconds)
            await stream.run()
            sent.ended(good=stream.meter.finished or exchange.reply.left)
        else:
            await relay_whole(exchange, answer, provider)
            sent.ended(good=True)
    finally:
        sent.ended(good=None)
