"""What programs ask in the demo: single calls through the SDKs of three vendors, long documents, batches at night."""

from datetime import timedelta

from accounting.money.entry import Entry
from accounting.money.usage import Usage
from routing.demo.answers import Desk
from routing.demo.callers import Caller, client_of, model_of
from routing.demo.keys import ANTHROPIC_SDK
from routing.demo.upstreams import DIRECT, HAIKU, OPUS, SONNET, Target
from routing.formats.base import BATCHES
from routing.proxy.billing import fill
from routing.proxy.passthrough.metering import REASON

_BATCHED = ("research", "platform")  # teams whose programs send batches
BATCHES_OF_PROGRAMS = 1 / 120  # of their requests


def single_call(desk: Desk, caller: Caller) -> Entry:
    """One call of a program: a prompt of which the instructions are cached, and no session."""
    chance = desk.chance
    at = desk.calendar.moment(chance, caller.zone, "programs", caller.plan.silent_for)
    alias = model_of(chance, caller)
    entry = desk.blank(caller, client_of(chance, caller), at, alias)
    entry.stream = chance.random() < 0.4
    route = desk.route(caller, alias)
    if not desk.call(entry, route, desk.choose(route)):
        return entry
    usage = _usage(desk, alias)
    if entry.stream and chance.random() < 0.02:
        desk.leave(entry, usage)
    else:
        desk.serve(entry, usage)
    return entry


def _usage(desk: Desk, alias: str) -> Usage:
    chance = desk.chance
    usage = Usage(input=int(chance.lognormvariate(9.1, 0.9)) + 8, output=int(chance.lognormvariate(6.2, 0.8)) + 1)
    if chance.random() < 0.7:
        usage.cache_read = chance.randrange(1_100, 6_000)
    elif chance.random() < 0.5:
        usage.cache_write_5m = chance.randrange(1_100, 6_000)
    if alias == HAIKU and chance.random() < 0.03:
        usage.input = chance.randrange(101_000, 180_000)  # a long document, for which other prices count
    if alias == SONNET and chance.random() < 0.03:
        usage.web_searches = chance.randrange(1, 4)
    return usage


def batch(desk: Desk, caller: Caller, days_ago: int) -> Entry:
    """What a batch has used of one model, as it is recorded when its results are fetched: in the night, at half the price."""
    chance = desk.chance
    alias = OPUS if chance.random() < 0.3 else SONNET
    night = desk.calendar.now.replace(hour=3, minute=chance.randrange(60)) - timedelta(days=days_ago + 1)
    entry = desk.blank(caller, client_of(chance, caller), night, alias)
    target = Target(DIRECT, alias)
    entry.request_id, entry.operation = f"batch_{chance.getrandbits(128):032x}", BATCHES
    entry.stream, entry.route, entry.client_ip, entry.user_agent = False, "", "", ""
    entry.provider, entry.upstream_model = target.provider, target.model
    entry.upstream_request_id = f"msgbatch_{chance.getrandbits(96):024x}"
    entry.outcome, entry.status, entry.reason = "served", 200, REASON
    calls = chance.randrange(40, 400)
    usage = Usage(input=calls * chance.randrange(700, 2_000), output=calls * chance.randrange(120, 500))
    usage.service_tier = "batch"
    provider = desk.providers.get(target.provider)
    fill(entry, desk.billing.lines(usage, target.provider, target.model, entry.started_at, provider))
    return entry


def sends_batches(caller: Caller) -> bool:
    return caller.plan.team in _BATCHED and caller.plan.client == ANTHROPIC_SDK
