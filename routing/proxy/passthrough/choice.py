"""Which provider a batch or a file goes to: one of the Anthropic format that serves names which the caller may use. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from accounting.access.directory import allows
from accounting.access.grant import Grant
from routing.formats.base import ANTHROPIC
from routing.formats.batch import rename_models
from routing.formats.peek import BadBody
from routing.proxy.catalogue import may_use
from routing.proxy.errors import GatewayError, invalid, not_supported, policy_blocked
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


class _Chooser:
    """Answers for each request of one batch, in order; equal names are looked up once."""

    def __init__(self, snapshot: Snapshot, grant: Grant) -> None:
        self._snapshot = snapshot
        self._grant = grant
        self._served: dict[str, str] = {}
        self.first: tuple[str, AliasConf, TargetConf] | None = None
        self.aliases: dict[str, str] = {}

    def __call__(self, index: int, asked: str) -> str:
        served = self._served.get(asked)
        if served is None:
            served = self._served[asked] = self._choose(f"requests.{index}.params.model: {asked}", asked)
            self.aliases.setdefault(served, asked[:300])
        return served

    def _choose(self, where: str, asked: str) -> str:
        alias = self._snapshot.find(asked)
        if alias is None:
            raise GatewayError(404, "not_found_error", f"{where} is not a model of this gateway.", "unknown_model")
        if not may_use(self._grant, asked, alias):
            text = f"{where} is not allowed for this key. Ask your team's administrator for it."
            raise policy_blocked(text, "model_not_allowed")
        targets = anthropic_targets(alias.route)
        if not targets:
            raise invalid(f"{where} has no provider that takes message batches.", "no_batches")
        if self.first is None:
            self.first = (asked, alias, targets[0])
        home = self.first[2].provider
        for target in targets:
            if target.provider is home:
                return target.model
        text = f"{where} is not served by the provider of the batch's first model; send it in a batch of its own."
        raise invalid(text, "mixed_providers")


def plan_batch(body: bytes, snapshot: Snapshot, grant: Grant) -> Plan:
    """Raises `GatewayError`, which names the request that cannot be served by its index."""
    chooser = _Chooser(snapshot, grant)
    try:
        edited = rename_models(body, chooser)
    except BadBody as error:
        raise invalid(str(error), "bad_body") from None
    assert chooser.first is not None  # a batch without requests is refused
    asked, alias, target = chooser.first
    return Plan(target, asked, alias.route.name, edited, chooser.aliases)


def anthropic_targets(route: RouteConf) -> list[TargetConf]:
    """The targets that take batches and files, by tier and as listed. Health does not count: what is kept stays put."""
    return [target for target in route.targets if target.provider.format == ANTHROPIC and target.weight]


def files_provider(snapshot: Snapshot, grant: Grant) -> ProviderConf:
    """Where this caller's files are kept: the oldest of the providers that come first for any of its names."""
    found: dict[int, ProviderConf] = {}
    for alias in snapshot.aliases.values():
        if not allows(grant, alias.name):
            continue
        for target in anthropic_targets(alias.route)[:1]:
            found[target.provider.id] = target.provider
    if not found:
        raise not_supported("No provider that keeps files serves a model that this key may use.")
    return found[min(found)]
