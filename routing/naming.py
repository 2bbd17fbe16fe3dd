"""From the name that a client asks for to the alias that serves it, whether the caller may use it, and whether it still lives.

No I/O. What ends here is a `GatewayError`: 404 for a name that nothing serves, 400 for one that is not for this caller.
"""

import msgspec

from accounting.access.directory import allows
from accounting.access.grant import Grant
from routing.formats.base import BEDROCK, COUNT_TOKENS, Inbound
from routing.formats.faults import NotBridgeable
from routing.formats.names import foundation_model
from routing.proxy.errors import GatewayError, policy_blocked, unknown_model
from routing.snapshot import AliasConf, Snapshot

MOST_SUCCESSORS = 20  # that one request follows; saving refuses circles


class Named(msgspec.Struct, frozen=True):
    """The alias that a name fits, and the one that serves it: another one if the first is retired and forwards."""

    alias: AliasConf
    serving: AliasConf


def find_alias(snapshot: Snapshot, inbound: Inbound, grant: Grant) -> AliasConf | None:
    """The alias that the name as asked fits."""
    return snapshot.find(inbound.model) or foundation(snapshot, inbound, grant)


def named(snapshot: Snapshot, asked: str, alias: AliasConf | None, grant: Grant, now: float) -> Named:
    """Who serves the name `asked`, which fits `alias`; `now` is a Unix time.

    A retired name is followed to its successors. Whoever may use the name asked for is served by its successor, without
    being allowed that name too: to forward is the administrator's decision, and clients must not break on the day.
    """
    if alias is None:
        raise unknown_model(asked, snapshot.closest(asked, lambda name: _offered(snapshot, grant, name, now)))
    serving = _serving(snapshot, asked, alias, now)
    if not may_use(grant, asked, alias) and (serving is alias or not may_use(grant, serving.name, serving)):
        text = f"The model {asked} is not allowed for this key. Ask your team's administrator for it."
        raise policy_blocked(text, "model_not_allowed")
    refusing = next((each for each in (alias, serving) if _refuses(each, now)), None)
    if refusing is not None and refusing.deprecation is not None:
        raise _retired(refusing, asked, alias, now)
    return Named(alias, serving)


def may_use(grant: Grant, asked: str, alias: AliasConf) -> bool:
    """Whether a caller may ask for `alias` by this name: the name itself, or the exact name that it stands for (`x[1m]`
    for x, a foundation model for its profile), is allowed."""
    return allows(grant, asked) or ("*" not in alias.name and allows(grant, alias.name))


def foundation(snapshot: Snapshot, inbound: Inbound, grant: Grant) -> AliasConf | None:
    """The alias behind a foundation model's id: what a Bedrock client counts tokens by, as the profiles told it.

    Several aliases can stand on one foundation; those that the caller may use come first.
    """
    if inbound.format != BEDROCK or inbound.operation != COUNT_TOKENS:
        return None
    asked = inbound.model.rpartition("foundation-model/")[2]
    found = [alias for alias in snapshot.exact_aliases() if _foundation_of(alias) == asked]
    return next((alias for alias in found if allows(grant, alias.name)), found[0] if found else None)


def bedrock_id(alias: AliasConf) -> str:
    """The id by which Bedrock serves the alias, if it does."""
    return next((target.model for target in alias.route.targets if target.provider.format == BEDROCK), "")


def listed_aliases(snapshot: Snapshot, grant: Grant, now: float) -> list[AliasConf]:
    """What a list of models shows to this caller: exact names that are not refused by now."""
    return [alias for alias in snapshot.exact_aliases() if allows(grant, alias.name) and not _refuses(alias, now)]


def _refuses(alias: AliasConf, now: float) -> bool:
    return alias.deprecation is not None and alias.deprecation.refuses(now)


def _offered(snapshot: Snapshot, grant: Grant, name: str, now: float) -> bool:
    return allows(grant, name) and not _refuses(snapshot.aliases[name], now)


def _serving(snapshot: Snapshot, asked: str, alias: AliasConf, now: float) -> AliasConf:
    """The end of the line of successors: the first that is not retired, or refuses. 404 if there is nothing any more."""
    at = alias
    for _ in range(MOST_SUCCESSORS):
        deprecation = at.deprecation
        if deprecation is None or deprecation.stage(now) != "retired" or deprecation.refuses(now):
            return at
        successor = snapshot.find(deprecation.successor)
        if successor is None:
            text = f"model: {asked} is retired, and nothing serves its successor {deprecation.successor}."
            raise _not_served(text, alias, now)
        at = successor
    raise _not_served(f"model: {asked} is retired, and its successors lead in a circle.", alias, now)


def _retired(refusing: AliasConf, asked: str, alias: AliasConf, now: float) -> GatewayError:
    assert refusing.deprecation is not None
    name = asked if refusing is alias else refusing.name
    return _not_served(refusing.deprecation.refusal(name), alias, now)


def _not_served(text: str, alias: AliasConf, now: float) -> GatewayError:
    return GatewayError(404, "not_found_error", text, "retired_model", headers=tuple(alias.notices(now)))


def _foundation_of(alias: AliasConf) -> str:
    try:
        return foundation_model(bedrock_id(alias) or alias.name)
    except NotBridgeable:
        return alias.name
