"""What the demo's administrators have done with providers, routes and prices, and what the gateway has noticed meanwhile."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from accounting.audit.changes import changing
from accounting.models import Price, User
from accounting.money.entry import Entry
from accounting.money.price_store import add_price, load_price_book
from accounting.money.repricing import by_book
from accounting.money.rerate import Scope, rerate
from accounting.money.usage import Usage
from routing import compatibility
from routing.controls import drain
from routing.demo.history import actor
from routing.demo.upstreams import BEDROCK_US, DIRECT, DRAFT, FABLE, OLD_HAIKU, OPUS, SERVED, SONNET, VERTEX
from routing.formats.base import BEDROCK
from routing.formats.base import VERTEX as VERTEX_FORMAT
from routing.formats.compat import BETA, FIELD
from routing.models import CompatibilitySuggestion, Provider, Route, RouteTarget, Shadow
from routing.observations import Batch, Seen, Tally, Value
from routing.services import save_route
from routing.shadows import Shadowed, Shadows, store_shadows
from routing.snapshot import load_snapshot
from routing.versions.proposals import Draft, Person, Wish, draft, propose

SHADOWED_FOR = timedelta(days=6)
_FORMATS = {BEDROCK_US: BEDROCK, "bedrock-eu": BEDROCK, VERTEX: VERTEX_FORMAT}
_REFUSED = (
    ("context-management-2025-06-27", "eu.anthropic.claude-sonnet-5-5-v1:0"),
    ("fine-grained-tool-streaming-2025-05-14", "us.anthropic.claude-opus-5-5-v1:0"),
)


class _Waits(Exception):
    """Takes a change back that shall only be proposed."""


def run_operations(entries: Sequence[Entry], now: datetime) -> None:
    _change_weights()
    _propose(now)
    with changing(actor("Grace")) as change:
        drain(change, Provider.objects.get(name=BEDROCK_US), SERVED[FABLE].targets[1].model)
    _shadow(entries, now)
    _observe(entries, now)
    _rerate(now)


def _change_weights() -> None:
    """Two versions of the configuration, each with its reason."""
    afternoon = "Anthropic has a bad afternoon: most of Opus goes to Bedrock"
    for weight, reason in ((1, afternoon), (6, "Anthropic is well again")):
        with changing(actor("Ada")) as change:
            change.reason = reason
            route = Route.objects.get(name=SERVED[OPUS].name)
            save_route(change, route, _with_weight(route, DIRECT, weight))


def _with_weight(route: Route, provider: str, weight: int) -> list[RouteTarget]:
    targets = list(RouteTarget.objects.filter(route=route).select_related("provider").order_by("position"))
    for target in targets:
        if target.provider.name == provider:
            target.weight = weight
    return targets


def _propose(now: datetime) -> None:
    """A change that waits for its time."""
    found: Draft | None = None
    try:
        with changing(actor("Grace")) as change:
            route = Route.objects.get(name=SERVED[SONNET].name)
            save_route(change, route, _with_weight(route, VERTEX, 6))
            found = draft(change)
            raise _Waits
    except _Waits:
        pass
    if found is not None:
        by = Person(actor("Grace"), User.objects.get(email=actor("Grace").name).pk)
        wish = Wish("The new quota on Vertex begins then", now + timedelta(days=3))
        propose(found, by, wish, now)


def _shadow(entries: Sequence[Entry], now: datetime) -> None:
    """A draft beside the live route of Opus, asked for some days."""
    live, other = SERVED[OPUS].name, DRAFT.name
    shadow = Shadow(live=Route.objects.get(name=live), draft=Route.objects.get(name=other))
    shadow.until = now + timedelta(days=8)
    with changing(actor("Ada")) as change:
        change.save(shadow)
    target = load_snapshot().routes[other].targets[0]
    shadows, book = Shadows(), load_price_book()
    since = (now - SHADOWED_FOR).timestamp()
    for entry in entries:
        if entry.route == live and entry.started_at >= since and entry.outcome == "served":
            shadows.count(Shadowed(shadow.pk, target), entry, _usage(entry), book)
    store_shadows(shadows.take(all_=True), now)


def _usage(entry: Entry) -> Usage:
    return Usage(
        input=entry.tokens_input,
        output=entry.tokens_output,
        cache_read=entry.tokens_cache_read,
        cache_write_5m=entry.tokens_cache_write_5m,
        cache_write_1h=entry.tokens_cache_write_1h,
    )


def _observe(entries: Sequence[Entry], now: datetime) -> None:
    """What was left out of requests, as counted; two betas that were refused, of which one has a rule by now."""
    removed: Tally = {}
    for entry in entries:
        form, at = _FORMATS.get(entry.provider, ""), datetime.fromtimestamp(entry.started_at, UTC)
        pairs = [(BETA, name) for name in entry.betas_removed] + [(FIELD, name) for name in entry.fields_removed]
        for kind, name in pairs:
            value = Value(kind, name, form, entry.upstream_model)
            seen = Seen(1, at, at)
            removed[value] = removed[value].plus(seen) if value in removed else seen
    refused = {
        Value(BETA, name, BEDROCK, model): Seen(
            11 + 20 * number, now - timedelta(days=30), now - timedelta(hours=5), f"invalid beta flag: {name}"
        )
        for number, (name, model) in enumerate(_REFUSED)
    }
    compatibility.store_observations(Batch(removed, refused))
    with changing(actor("Ada")) as change:
        compatibility.accept(change, CompatibilitySuggestion.objects.get(name=_REFUSED[0][0]).pk)


def _rerate(now: datetime) -> None:
    """A price that was negotiated later and counts from a month ago: adjustments in the ledger."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    model = SERVED[OLD_HAIKU].targets[0].model
    since, rates = midnight - timedelta(days=30), ("0.9", "4.5", "1.125", "1.8", "0.09")
    names = ("input", "output", "cache_write_5m", "cache_write_1h", "cache_read")
    price = Price(provider=VERTEX, model=f"{OLD_HAIKU}*", valid_from=since, source="contract of this quarter")
    for name, rate in zip(names, rates, strict=True):
        setattr(price, name, Decimal(rate))
    with changing(actor("Ada")) as change:
        add_price(change, price)
    reason = "The contract of this quarter counts from its beginning"
    rerate(actor("Ada"), Scope(since, midnight, VERTEX, model), by_book(load_price_book()), reason=reason, now=now)
