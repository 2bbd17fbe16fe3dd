"""What a team may ask for, for people: every name with who serves it, what that costs, how it does now, how long it lives."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from accounting.access.grant import Grant
from accounting.models import Team, User
from accounting.money.price_book import PriceBook, PriceRow, Rates
from accounting.money.price_store import load_price_book
from routing.condition_lines import line_of
from routing.lifecycle import Stage
from routing.naming import listed_aliases
from routing.proxy.runtime import running
from routing.selectors import Share, route_shares
from routing.snapshot import AliasConf, Snapshot, load_snapshot
from routing.target_status import ShownTarget, read_targets

TRYING = "try-it"  # as the key of requests that people send from the dashboard


@dataclass(frozen=True, slots=True)
class Upstream:
    """One target of a name. `state` is "" where no process has told of it; `price` None where the model has none, and is
    billed by the default."""

    share: Share
    state: str
    tone: str
    p50_ms: float | None
    errors: float | None
    price: PriceRow | None

    @property
    def rests(self) -> bool:
        return bool(self.share.reason) or self.state in ("open", "drained", "rests", "resting")


@dataclass(frozen=True, slots=True)
class Offer:
    """A name that a team may use. `rates` are those of the first upstream, in dollars for a million tokens."""

    name: str
    display_name: str
    route: str
    strategy: str
    upstreams: tuple[Upstream, ...]
    conditions: tuple[str, ...]
    stage: Stage
    since: datetime | None = None
    until: datetime | None = None
    successor: str = ""
    note: str = ""

    @property
    def first(self) -> Upstream | None:
        """The upstream that most requests go to while all are well."""
        serving = [each for each in self.upstreams if not each.share.reason]
        return max(serving, key=lambda each: (-each.share.tier, each.share.percent or 0), default=None)

    @property
    def rates(self) -> Rates | None:
        first = self.first
        return first.price.rates if first is not None and first.price is not None else None

    @property
    def same_price(self) -> bool:
        """Whether all upstreams cost the same."""
        prices = {each.price.rates if each.price else None for each in self.upstreams if not each.share.reason}
        return len(prices) <= 1

    @property
    def tone(self) -> str:
        """How it does now: bad if nobody serves it, warn if some of its upstreams do not."""
        able = [each for each in self.upstreams if not each.rests]
        if not able:
            return "bad"
        if len(able) < len(self.upstreams):
            return "warn"
        return "good" if any(each.tone == "good" for each in able) else "calm"


def insider(user: User, team: Team, project: str) -> Grant:
    """A person as a caller without a key: what their team may use, at the expense of one of its projects."""
    allowed = () if "*" in team.allowed_models else (tuple(team.allowed_models),)
    return Grant(
        key_id=0,
        key=TRYING,
        key_prefix="",
        kind="personal",
        team=team.name,
        project=project,
        user=user.email,
        allowed_models=allowed,
        capture=team.capture,
    )


def offers(grant: Grant, now: datetime) -> list[Offer]:
    """The names that a caller with this grant may use, those that are retired left out, by name."""
    snapshot, book = _pictures()
    states = {(each.provider, each.model): each for each in read_targets(now)}
    aliases = listed_aliases(snapshot, grant, now.timestamp())
    return [_offer(alias, book, states, now) for alias in aliases]


def _pictures() -> tuple[Snapshot, PriceBook]:
    """What this process serves by, at most a second old; read from the database where no gateway runs in it."""
    runtime = running()
    if runtime is not None:
        return runtime.house.snapshot, runtime.house.billing.book
    return load_snapshot(), load_price_book()


def offer(grant: Grant, name: str, now: datetime) -> Offer | None:
    """One of them."""
    return next((each for each in offers(grant, now) if each.name == name), None)


def names(found: Iterable[Offer]) -> list[str]:
    return [each.name for each in found]


def _offer(alias: AliasConf, book: PriceBook, states: Mapping[tuple[str, str], ShownTarget], now: datetime) -> Offer:
    ends = alias.deprecation
    return Offer(
        name=alias.name,
        display_name=alias.display_name or alias.name,
        route=alias.route.name,
        strategy=alias.route.strategy,
        upstreams=_upstreams(route_shares(alias.route), book, states, now),
        conditions=tuple(line_of(each.when, each.route) for each in alias.route.conditions),
        stage=ends.stage(now.timestamp()) if ends else "in use",
        since=_moment(ends.since) if ends else None,
        until=_moment(ends.until) if ends else None,
        successor=ends.successor if ends else "",
        note=ends.text if ends else "",
    )


def _upstreams(
    shares: Sequence[Share], book: PriceBook, states: Mapping[tuple[str, str], ShownTarget], now: datetime
) -> tuple[Upstream, ...]:
    found = []
    for share in shares:
        said = states.get((share.provider, share.model))
        found.append(
            Upstream(
                share=share,
                state=said.state if said and said.reporting else "",
                tone=said.tone if said else "calm",
                p50_ms=said.p50_ms if said else None,
                errors=said.error_share if said else None,
                price=book.row(share.provider, share.model, now.timestamp()),
            )
        )
    return tuple(found)


def _moment(unix: float | None) -> datetime | None:
    return datetime.fromtimestamp(unix, UTC) if unix is not None else None
