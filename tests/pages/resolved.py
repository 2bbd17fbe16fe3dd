"""The addresses that are not below a team and not the REST API's, as the resolver has them, each with a row of its table."""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.apps import apps
from django.db.models import Model
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from accounting.audit.changes import Actor, changing
from accounting.models import BudgetAlert, OrganizationSettings, UnknownModelPrice
from accounting.money.price_store import Unpriced, store_unpriced
from routing.models import CompatibilityRule, ConfigProposal, ConfigVersion, Route, RouteTarget, Shadow, TargetControl
from routing.services import save_route
from tests.pages.everybody import Everything

_OTHERS = ("/api/", "/teams/")
_ARGUMENT = re.compile(r"<\w+:(\w+)>")


def resolved() -> dict[str, str]:
    """Patterns by names as `reverse` takes them; those without a name by themselves."""
    found: dict[str, str] = {}

    def walk(resolver: URLResolver, before: str, spaces: tuple[str, ...]) -> None:
        for each in resolver.url_patterns:
            path = f"{before}{each.pattern}"
            if isinstance(each, URLResolver):
                walk(each, path, (*spaces, each.namespace) if each.namespace else spaces)
            elif isinstance(each, URLPattern) and not path.startswith(_OTHERS):
                found[":".join((*spaces, each.name)) if each.name else path] = path

    walk(get_resolver(), "/", ())
    return found


def table_of(path: str) -> type[Model] | None:
    """The table that a page of the console is about."""
    parts = path.split("/")
    return apps.get_model(parts[2], parts[3]) if parts[1] == "admin" and parts[2] in ("routing", "accounting") else None


def address_of(pattern: str) -> str:
    """The address with the first row of its table in it."""
    table = table_of(pattern)
    row = table._default_manager.order_by("pk").first() if table is not None and "<" in pattern else None
    known: Mapping[str, Any] = {"token": "no-such", "content_type_id": "1", "number": 1}
    text = pattern.replace("^(?P<app_label>routing|accounting)/$", "routing/").replace("(?P<url>.*)$", "nowhere/")
    return _ARGUMENT.sub(lambda found: str(known.get(found[1], getattr(row, "pk", "1"))), text)


def make_the_rest(everything: Everything) -> None:
    """A row of those tables of the console that have none yet."""
    now, base, world = timezone.now(), ConfigVersion.objects.get(), everything.world
    ConfigProposal.objects.create(
        created_at=now, author="bob@example.org", base=base, expires_at=now + timedelta(days=1)
    )
    BudgetAlert.objects.create(budget=world.budget, period_start=now, threshold=50, at=now, spent=1, limit=2)
    TargetControl.objects.create(provider=world.provider, model="claude-sonnet-4-5")
    OrganizationSettings.objects.create()
    store_unpriced({("main", "no-price", True): Unpriced(3, 1.8e9)})
    with changing(Actor("set-up", "system")) as change:
        change.save(CompatibilityRule(name="some-beta-*"))
        draft = Route(name="draft")
        save_route(change, draft, [RouteTarget(provider=world.provider, model="claude-opus-4-5")])
        change.save(Shadow(live=world.route, draft=draft, until=now + timedelta(days=1)))
        change.save(UnknownModelPrice(pk=1, input=1, output=1, cache_write_5m=1, cache_write_1h=1, cache_read=1))
