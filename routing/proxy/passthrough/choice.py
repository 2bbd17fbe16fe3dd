"""Which provider a batch or a file goes to: one of the Anthropic format that serves names which the caller may use. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from accounting.access.directory import allows
from accounting.access.grant import Grant
from routing.decide import RouteChoice, Routed, choose_route
from routing.facts import Facts
from routing.formats.base import ANTHROPIC, Headers
from routing.formats.batch import rename_models
from routing.formats.peek import BadBody
from routing.naming import named
from routing.proxy.errors import GatewayError, invalid, not_supported
from routing.snapshot import AliasConf, Snapshot
from routing.targets import ProviderConf, RouteConf, TargetConf


@dataclass(frozen=True, slots=True)
class Plan:
    """A batch on its way: to whom, the edited body; `aliases` are the names asked for by the upstream's names of them."""

    target: TargetConf
    alias: str
    route: str
    body: bytes
    aliases: Mapping[str, str]
    notices: Headers


class _Chooser:
    """Answers for each request of one batch, in order; equal names are looked up once."""

    def __init__(self, snapshot: Snapshot, grant: Grant, now: float) -> None:
        self._snapshot = snapshot
        self._grant = grant
        self._now = now
        self._served: dict[str, str] = {}
        self.first: tuple[str, Routed, TargetConf] | None = None
        self.aliases: dict[str, str] = {}

    def __call__(self, index: int, asked: str) -> str:
        served = self._served.get(asked)
        if served is None:
            served = self._served[asked] = self._choose(f"requests.{index}.params.model:", asked)
            self.aliases.setdefault(served, asked[:300])
        return served

    def _choose(self, where: str, asked: str) -> str:
        routed = self._routed(where, asked)
        targets = anthropic_targets(routed.route)
        if not targets:
            raise invalid(f"{where} {asked} has no provider that takes message batches.", "no_batches")
        if self.first is None:
            self.first = (asked, routed, targets[0])
        home = self.first[2].provider
        for target in targets:
            if target.provider is home:
                return target.model
        text = (
            f"{where} {asked} is not served by the provider of the batch's first model; send it in a batch of its own."
        )
        raise invalid(text, "mixed_providers")

    def _routed(self, where: str, asked: str) -> Routed:
        try:
            found = named(self._snapshot, asked, self._snapshot.find(asked), self._grant, self._now)
        except GatewayError as error:
            error.message = f"{where} {error.message.removeprefix('model: ')}"
            raise
        choice = batch_route(found.serving, asked, self._snapshot, self._grant)
        return Routed(found.alias, found.serving, choice, "", found.alias.notices(self._now))


def plan_batch(body: bytes, snapshot: Snapshot, grant: Grant, now: float) -> Plan:
    """Raises `GatewayError`, which names the request that cannot be served by its index. `now` is a Unix time."""
    chooser = _Chooser(snapshot, grant, now)
    try:
        edited = rename_models(body, chooser)
    except BadBody as error:
        raise invalid(str(error), "bad_body") from None
    assert chooser.first is not None  # a batch without requests is refused
    asked, routed, target = chooser.first
    return Plan(target, asked, routed.route.name, edited, chooser.aliases, routed.notices)


def batch_route(alias: AliasConf, asked: str, snapshot: Snapshot, grant: Grant) -> RouteChoice:
    """The route of a name in a batch: conditions see who asks for what. It is not streamed, has no session and no betas;
    of its size and its fields nothing is known."""
    facts = Facts(grant.team, grant.project, grant.key, grant.key_prefix, grant.tags, model=asked)
    return choose_route(alias.route, snapshot, lambda: facts)


def anthropic_targets(route: RouteConf) -> list[TargetConf]:
    """The targets that take batches and files, by tier and as listed. Health does not count: what is kept stays put."""
    return [target for target in route.targets if target.provider.format == ANTHROPIC and target.weight]


def files_provider(snapshot: Snapshot, grant: Grant) -> ProviderConf:
    """Where this caller's files are kept: the oldest of the providers that come first for any of its names."""
    found: dict[int, ProviderConf] = {}
    for alias in snapshot.aliases.values():
        if not allows(grant, alias.name):
            continue
        choice = batch_route(alias, alias.name, snapshot, grant)
        for target in anthropic_targets(choice.route)[:1]:
            found[target.provider.id] = target.provider
    if not found:
        raise not_supported("No provider that keeps files serves a model that this key may use.")
    return found[min(found)]
