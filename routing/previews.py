"""Who uses a name or a route, and what a change would move: read from the latest requests, never from all of them.

A record does not keep a request's betas, fields and capabilities: conditions on those count as not holding, and every target
as well and able.
"""

import hashlib
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from accounting.access.grant import Grant
from accounting.models import RequestRecord, VirtualKey
from routing.condition_lines import when_text
from routing.decide import choose_route, sticky_key
from routing.facts import Facts
from routing.formats.base import COUNT_TOKENS, MESSAGES
from routing.naming import named
from routing.proxy.errors import GatewayError
from routing.resolve import resolve
from routing.selectors import route_shares
from routing.snapshot import Snapshot
from routing.targets import RouteConf, TargetConf, TargetHealth

WINDOW = timedelta(days=7)
MOST_READ = 5_000  # of the latest requests
MOST_SHOWN = 50
MOST_CALLERS = 5
NOBODY = "nobody: 404"
_COLUMNS = (
    "operation", "started_at", "request_id", "team", "project", "key", "key_prefix", "client_format", "stream",
    "session_id", "alias", "route", "tokens_input", "tokens_cache_read", "tokens_cache_write_5m", "tokens_cache_write_1h",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """One stored request, as far as its route depends on it."""

    request_id: str
    started_at: datetime
    grant: Grant
    format: str
    stream: bool
    session_id: str
    alias: str
    route: str
    prompt_tokens: int

    def facts(self) -> Facts:
        grant = self.grant
        return Facts(
            grant.team, grant.project, grant.key, grant.key_prefix, grant.tags,
            format=self.format, session_id=self.session_id, stream=self.stream, model=self.alias,
            prompt_tokens=self.prompt_tokens,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sample:
    """The latest requests of seven days, newest first; `cut` says that there were more than were read."""

    requests: tuple[Asked, ...]
    cut: bool


@dataclass(frozen=True, slots=True)
class Caller:
    """A key that asks for something, how often, and when last."""

    team: str
    key: str
    key_prefix: str
    requests: int
    last: datetime


@dataclass(frozen=True, slots=True)
class Move:
    """Requests that would go elsewhere: by the name asked for, from where to where, how many, whose."""

    asked: str
    before: str
    after: str
    requests: int
    callers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NameChange:
    """An alias that would be served differently."""

    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Preview:
    """What a change would do. `moved` of `looked_at` recent requests would have gone elsewhere."""

    looked_at: int
    moved: int
    moves: tuple[Move, ...]
    names: tuple[NameChange, ...]
    cut: bool


def read_sample(now: datetime) -> Sample:
    """Two queries, whatever the number of requests."""
    rows = RequestRecord.objects.filter(started_at__gte=now - WINDOW).order_by("-started_at", "-id")
    found = list(rows.values(*_COLUMNS)[:MOST_READ])
    inference = [row for row in found if row["operation"] in (MESSAGES, COUNT_TOKENS) and row["alias"]]
    prefixes = {row["key_prefix"] for row in inference}
    keys = VirtualKey.objects.filter(prefix__in=prefixes).values_list("prefix", "tags") if prefixes else []
    tags: dict[str, Mapping[str, str]] = dict(keys)
    return Sample(tuple(_asked(row, tags) for row in inference), len(found) >= MOST_READ)


def callers_of(sample: Sample, concerns: Callable[[Asked], bool]) -> list[Caller]:
    """The keys whose requests `concerns` picks, the busiest first; no more than are shown."""
    counts: Counter[tuple[str, str, str]] = Counter()
    last: dict[tuple[str, str, str], datetime] = {}
    for each in sample.requests:
        if concerns(each):
            who = (each.grant.team, each.grant.key, each.grant.key_prefix)
            counts[who] += 1
            last.setdefault(who, each.started_at)
    return [Caller(*who, count, last[who]) for who, count in counts.most_common(MOST_SHOWN)]


def asks_for(snapshot: Snapshot, alias: str) -> Callable[[Asked], bool]:
    """Picks the requests whose name fits this alias now."""

    def concerns(each: Asked) -> bool:
        found = snapshot.find(each.alias)
        return found is not None and found.name == alias

    return concerns


def compare(before: Snapshot, after: Snapshot, sample: Sample, now: datetime) -> Preview:
    """What would change for names and for the sample's requests between two pictures of the configuration."""
    moves: Counter[tuple[str, str, str]] = Counter()
    whose: dict[tuple[str, str, str], Counter[str]] = {}
    for each in sample.requests:
        there, then = (_destination(snapshot, each, now.timestamp()) for snapshot in (before, after))
        if there != then:
            move = (each.alias, there, then)
            moves[move] += 1
            whose.setdefault(move, Counter())[f"{each.grant.team}/{each.grant.key or each.grant.key_prefix}"] += 1
    return Preview(
        looked_at=len(sample.requests),
        moved=sum(moves.values()),
        moves=tuple(
            Move(*move, count, tuple(name for name, _ in whose[move].most_common(MOST_CALLERS)))
            for move, count in moves.most_common(MOST_SHOWN)
        ),
        names=tuple(_changed_names(before, after, now.timestamp()))[:MOST_SHOWN],
        cut=sample.cut,
    )


class _AllWell:
    """Every target as if nothing had ever failed."""

    def look(self, target: TargetConf, now: float) -> TargetHealth:
        return TargetHealth()


def _asked(row: Mapping[str, object], tags: Mapping[str, Mapping[str, str]]) -> Asked:
    prefix = str(row["key_prefix"])
    kinds = ("tokens_input", "tokens_cache_read", "tokens_cache_write_5m", "tokens_cache_write_1h")
    started = row["started_at"]
    assert isinstance(started, datetime)
    grant = Grant(
        0, str(row["key"]), prefix, "service", str(row["team"]), str(row["project"]), tags=tags.get(prefix, {})
    )
    return Asked(
        request_id=str(row["request_id"]),
        started_at=started,
        grant=grant,
        format=str(row["client_format"]),
        stream=bool(row["stream"]),
        session_id=str(row["session_id"]),
        alias=str(row["alias"]),
        route=str(row["route"]),
        prompt_tokens=sum(int(str(row[kind])) for kind in kinds),
    )


def _destination(snapshot: Snapshot, each: Asked, now: float) -> str:
    """`route: provider/model`, where this request would go first. Chance is the same for both pictures."""
    try:
        found = named(snapshot, each.alias, snapshot.find(each.alias), each.grant, now)
    except GatewayError as error:
        return f"nobody: {error.status}"
    route = choose_route(found.serving.route, snapshot, each.facts).route
    seed = hashlib.blake2b(each.request_id.encode(), digest_size=8).digest()
    chance = random.Random(seed)  # noqa: S311  the same for equal requests, which is the point
    key = sticky_key(route, each.session_id, each.grant.key_prefix)
    candidates = resolve(route, sticky_key=key, health=_AllWell(), now=0.0, random=chance.random).candidates
    first = "/".join(candidates[0].target.key) if candidates else "no target, 529"
    return f"{route.name}: {first}"


def _changed_names(before: Snapshot, after: Snapshot, now: float) -> Iterable[NameChange]:
    for name in sorted({*before.aliases, *after.aliases}):
        was, will = (_name_in_words(snapshot, name, now) for snapshot in (before, after))
        if was != will:
            yield NameChange(name, was, will)


def _name_in_words(snapshot: Snapshot, name: str, now: float) -> str:
    alias = snapshot.aliases.get(name)
    if alias is None:
        return NOBODY
    words = _route_in_words(alias.route, snapshot, ())
    if alias.deprecation is None:
        return words
    successor = f", successor {alias.deprecation.successor}" if alias.deprecation.successor else ""
    then = f", then {alias.deprecation.then}" if alias.deprecation.until is not None else ""
    return f"{words} ({alias.deprecation.stage(now)}{successor}{then})"


def _route_in_words(route: RouteConf, snapshot: Snapshot, above: Sequence[str]) -> str:
    """Its targets with their shares, and where its conditions lead."""
    parts: list[str] = []
    for share in route_shares(route):
        if not share.reason:
            percent = "" if share.percent is None else f" {share.percent:.3g} %"
            parts.append(f"{share.provider}/{share.model} (tier {share.tier}{percent})")
    words = f"{route.name}: {', '.join(parts) or 'no target, 529'}"
    for condition in route.conditions:
        there, test = snapshot.routes.get(condition.route), when_text(condition.when)
        if there is None or there.name in (*above, route.name):
            words += f"; if {test}: nobody"
        else:
            words += f"; if {test}: {_route_in_words(there, snapshot, (*above, route.name))}"
    return words
