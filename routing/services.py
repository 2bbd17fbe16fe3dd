"""Every write of routing, whichever door it comes through: providers with credentials, routes with targets, aliases.

A refused value is a ValidationError with a sentence. Each function writes through a ChangeSet, so the change is audited
and running processes notice it.
"""

from collections.abc import Mapping, Sequence

from django.core.exceptions import ValidationError

from accounting.audit.changes import ChangeSet, StaleVersion
from gateway_project.crypto import UnreadableSecret
from routing.conf import CREDENTIAL_KINDS, check_targets
from routing.connections import problems_of_alias, problems_of_route, refuse_named_route, refuse_needed_alias
from routing.models import Credential, ModelAlias, Provider, Route, RouteTarget


def save_provider(
    change: ChangeSet,
    provider: Provider,
    *,
    credential_kind: str | None = None,
    credential_values: Mapping[str, str] | None = None,
    expected_version: int | None = None,
) -> None:
    """Writes a provider, and its credential when a kind is given. A new provider needs one.

    With a kind, `credential_values` are all the values of the credential; None keeps those stored (of the same kind).
    Problems of the credential are reported under the name `credential`.
    """
    is_new = provider._state.adding
    if is_new and credential_kind is None:
        raise ValidationError(
            {"credential": "A provider needs a credential; choose the kind none if it asks for none."}
        )
    change.save(provider, expected_version=expected_version)
    credential = Credential.objects.defer("values").filter(provider=provider).first()
    credential = credential or Credential(provider=provider)
    if credential_kind is None or (credential_values is None and credential.kind == credential_kind):
        _check_kept(credential, provider)
        return
    credential.provider, credential.kind = provider, credential_kind
    credential.values = dict(credential_values or {})
    _save_credential(change, credential)


def merged_values(provider: Provider, kind: str, given: Mapping[str, str]) -> dict[str, str]:
    """A form's values over the stored ones of the same kind: what a form leaves empty stays as it is.

    Raises UnreadableSecret when the stored values cannot be opened and something would have to be kept.
    """
    filled = {name: value for name, value in given.items() if value}
    known = CREDENTIAL_KINDS.get(kind)
    same_kind = Credential.objects.filter(provider=provider, kind=kind) if provider.pk else Credential.objects.none()
    if known is None or set(filled) >= {*known.required, *known.optional} or not same_kind.exists():
        return filled
    return {**same_kind.get().values, **filled}


def save_route(
    change: ChangeSet,
    route: Route,
    targets: Sequence[RouteTarget] | None = None,
    *,
    expected_version: int | None = None,
    expected_targets: Mapping[int, int] | None = None,
) -> None:
    """Writes a route and, unless None, its whole list of targets in this order; stored ones not in the list are deleted.

    An enabled route whose targets could serve nothing is refused, under the name `targets`; so is one whose conditions
    lead nowhere, or that leaves conditions of other routes leading nowhere. `expected_targets` (id → version) is what the
    writer saw; StaleVersion tells that someone else has changed the list since.
    """
    final = targets if targets is not None else _stored_targets(route)
    if route.enabled and (problem := check_route(final)):
        raise ValidationError({"targets": problem})
    if problems := problems_of_route(route):
        raise ValidationError(dict(problems))
    seen = {target.pk: target.version for target in _stored_targets(route)}
    if expected_targets is not None and seen != dict(expected_targets):
        raise StaleVersion(route, ("targets",), deleted=False)
    store_route(change, route, targets, expected_version=expected_version)


def check_route(targets: Sequence[RouteTarget]) -> str:
    """Why a route with these targets could serve nothing now, or ""."""
    return check_targets([(target.enabled, target.weight, target.provider.enabled) for target in targets])


def store_route(
    change: ChangeSet,
    route: Route,
    targets: Sequence[RouteTarget] | None = None,
    *,
    expected_version: int | None = None,
) -> None:
    """`save_route` without its judgement of the targets as a whole, and of where conditions lead."""
    change.save(route, expected_version=expected_version)
    if targets is None:
        return
    kept = {target.pk for target in targets}
    for target in _stored_targets(route):
        if target.pk not in kept:
            change.delete(target)
    for position, target in enumerate(targets):
        target.route, target.position = route, position
        change.save(target)


def _stored_targets(route: Route) -> list[RouteTarget]:
    return list(RouteTarget.objects.filter(route=route).select_related("provider")) if route.pk else []


def save_alias(change: ChangeSet, alias: ModelAlias, *, expected_version: int | None = None) -> None:
    """Writes a name that clients ask for. A successor that nothing serves or that leads in a circle is refused, and so is
    what would leave another name without its successor."""
    if problems := problems_of_alias(alias):
        raise ValidationError(dict(problems))
    store_alias(change, alias, expected_version=expected_version)


def store_alias(change: ChangeSet, alias: ModelAlias, *, expected_version: int | None = None) -> None:
    """`save_alias` without its judgement of successors."""
    change.save(alias, expected_version=expected_version)


def delete_provider(change: ChangeSet, provider: Provider) -> None:
    """Deletes a provider with its credential; one that routes still send to is refused, with their names."""
    routes = Route.objects.filter(targets__provider=provider).distinct().order_by("name")
    _refuse_while_used(f"The provider {provider.name}", "routes", [route.name for route in routes])
    _empty_unreadable(provider)
    change.delete(provider)


def delete_route(change: ChangeSet, route: Route) -> None:
    """Deletes a route with its targets; one that aliases or conditions lead to is refused, with their names."""
    _refuse_while_used(f"The route {route.name}", "aliases", [alias.name for alias in route.aliases.order_by("name")])
    refuse_named_route(route)
    change.delete(route)


def delete_alias(change: ChangeSet, alias: ModelAlias) -> None:
    """Deletes an alias; one that is the successor of another, and that nothing would take the place of, is refused."""
    refuse_needed_alias(alias)
    change.delete(alias)


def _save_credential(change: ChangeSet, credential: Credential) -> None:
    try:
        change.save(credential)
    except ValidationError as error:
        raise ValidationError({"credential": error.messages}) from None


def check_kept_credential(provider: Provider) -> None:
    """Raises ValidationError if the provider's stored credential does not fit its format."""
    credential = Credential.objects.defer("values").filter(provider=provider).first()
    if credential is not None:
        _check_kept(credential, provider)


def _check_kept(credential: Credential, provider: Provider) -> None:
    """A provider may have changed to a format that its stored credential does not fit."""
    known = CREDENTIAL_KINDS.get(credential.kind)
    if known is not None and provider.format not in known.formats:
        text = (
            f"The kind {credential.kind} does not fit a provider of format {provider.format}; give another credential."
        )
        raise ValidationError({"credential": text})


def _empty_unreadable(provider: Provider) -> None:
    """Deleting reads the rows it deletes, which fails for a credential that no key opens any more."""
    credentials = Credential.objects.filter(provider=provider)
    try:
        credentials.first()
    except UnreadableSecret:
        credentials.update(values={})


def _refuse_while_used(what: str, users: str, names: Sequence[str]) -> None:
    if not names:
        return
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    raise ValidationError(
        f"{what} is used by the {users} {shown}; change or delete those first, or disable it instead."
    )
