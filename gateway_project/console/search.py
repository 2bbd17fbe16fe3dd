"""Finds everything that the console has a page for by a few letters: one bounded query for each kind of thing.

What is known by a name is found by any part of it, best matches first. History is found by whole ids (requests, sessions)
or among its latest rows (audit events): nothing here reads a large table from end to end.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from django.db import models
from django.db.models import Case, Q, QuerySet, Value, When
from django.urls import reverse

from accounting.access.secrets import KEY_MARK, TOKEN_MARK
from accounting.limits.terms import SCOPES
from accounting.models import (
    ApiToken,
    AuditEvent,
    Budget,
    Price,
    Project,
    RateLimit,
    RequestRecord,
    Team,
    User,
    VirtualKey,
)
from accounting.templatetags.console import spaced
from routing.models import Credential, ModelAlias, Provider, Route, RouteTarget

MOST_EACH = 6
LONGEST = 100
MOST_WORDS = 5
LATEST_EVENTS = 5_000
PREFIX = 8  # characters of a key after its mark that are no secret
LEAST_ID = 8  # letters of a request id before it is looked for by its beginning


@dataclass(frozen=True, slots=True)
class Found:
    """One page: what it is called, what is worth knowing beside, where it is."""

    title: str
    address: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """What was found of one kind. `more` says that there are others, `address` where all of them are."""

    name: str
    found: tuple[Found, ...]
    more: bool = False
    address: str = ""


@dataclass(frozen=True, slots=True)
class Source:
    """A table with names. `fields` are searched, the first one ranks; `show` makes a title and a detail of a row."""

    name: str
    model: type[models.Model]
    fields: tuple[str, ...]
    show: Callable[[Any], tuple[str, str]]
    related: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    at: Callable[[Any], tuple[str, Any]] | None = None
    narrow: Callable[[str], Q] = field(default=lambda word: Q(pk__in=[]))


def _off(row: Any, text: str = "") -> str:
    return ", ".join(filter(None, (text, "" if row.enabled else "disabled")))


def _key(key: VirtualKey) -> tuple[str, str]:
    state = "revoked" if key.revoked_at else "" if key.enabled else "disabled"
    return key.name, ", ".join(filter(None, (f"{key.prefix}… of {key.project}", state)))


def _price(price: Price) -> tuple[str, str]:
    whose = "shipped" if price.shipped else "yours"
    return price.model, f"{price.provider}, from {price.valid_from:%-d %b %Y}, {whose}"


def _limit_words(word: str) -> Q:
    """`team`, `monthly`: what a limit is for, and how long, are no columns with names."""
    return Q(scope__startswith=word.lower()) if word.lower() in SCOPES else Q(pk__in=[])


SOURCES: tuple[Source, ...] = (
    Source("Aliases", ModelAlias, ("name", "display_name", "route__name"),
           lambda row: (row.name, _off(row, f"to the route {row.route.name}")), ("route",)),
    Source("Routes", Route, ("name",), lambda row: (row.name, _off(row, row.get_strategy_display()))),
    Source("Targets", RouteTarget, ("model", "provider__name"),
           lambda row: (row.model, _off(row, f"{row.provider.name}, in the route {row.route.name}")),
           ("route", "provider"), at=lambda row: ("routing_route", row.route_id)),
    Source("Providers", Provider, ("name", "base_url", "region"), lambda row: (row.name, _off(row, row.base_url))),
    Source("Credentials", Credential, ("provider__name", "kind"),
           lambda row: (f"Credential of {row.provider.name}", row.kind.replace("_", " ")), ("provider",), ("values",),
           at=lambda row: ("routing_provider", row.provider_id)),
    Source("Teams", Team, ("name", "display_name"), lambda row: (row.name, _off(row, row.display_name))),
    Source("Projects", Project, ("name", "display_name", "team__name"),
           lambda row: (row.name, _off(row, f"of the team {row.team.name}")), ("team",)),
    Source("People", User, ("email", "first_name", "last_name"),
           lambda row: (row.email, row.get_full_name() + ("" if row.is_active else " (may not sign in)"))),
    Source("Virtual keys", VirtualKey, ("name", "prefix", "project__name", "project__team__name", "owner__email"),
           _key, ("project__team",)),
    Source("API tokens", ApiToken, ("name", "prefix"),
           lambda row: (row.name, f"{row.prefix}… {row.get_role_display()}{', revoked' if row.revoked_at else ''}")),
    Source("Budgets", Budget,
           ("team__name", "project__name", "user__email", "key__name", "model", "tag", "period"),
           lambda row: (str(row), _off(row, f"${row.amount.normalize():,f}")),
           ("team", "project__team", "user", "key__project__team"), narrow=_limit_words),
    Source("Rate limits", RateLimit, ("team__name", "project__name", "user__email", "key__name", "model", "tag", "kind"),
           lambda row: (str(row), _off(row, f"{row.amount:,}")),
           ("team", "project__team", "user", "key__project__team"), narrow=_limit_words),
    Source("Prices", Price, ("model", "provider"), _price),
)  # fmt: skip


def search(text: str, pages: Sequence[Found], sees: Callable[[type[models.Model]], bool]) -> list[Group]:
    """Everything that `text` fits, in groups. `pages` are the console's own; `sees` says which tables the reader may."""
    text = _without_secret(text.strip()[:LONGEST])
    words = [word for word in text.rstrip("…").split() if word][:MOST_WORDS]
    if not words or "\0" in text:
        return []
    groups = [_pages(words, pages)]
    groups += [_of_source(source, words) for source in SOURCES if sees(_shown_by(source))]
    if sees(RequestRecord):
        groups.append(_requests(text.rstrip("…")))
    if sees(AuditEvent):
        groups.append(_events(words))
    return [group for group in groups if group.found]


def _without_secret(text: str) -> str:
    """Of a whole key that somebody pastes only the part that is known: the rest is a secret."""
    for mark in (KEY_MARK, TOKEN_MARK):
        if text.startswith(mark):
            return text[: len(mark) + PREFIX]
    return text


def _shown_by(source: Source) -> type[models.Model]:
    """The table whose pages lead to the rows of `source`."""
    above: dict[type[models.Model], type[models.Model]] = {Credential: Provider, RouteTarget: Route}
    return above.get(source.model, source.model)


def _pages(words: Sequence[str], pages: Sequence[Found]) -> Group:
    fits = [each for each in pages if all(word.lower() in f"{each.title} {each.detail}".lower() for word in words)]
    fits.sort(key=lambda each: not each.title.lower().startswith(words[0].lower()))
    return Group("Pages", tuple(fits[:MOST_EACH]), len(fits) > MOST_EACH)


def _of_source(source: Source, words: Sequence[str]) -> Group:
    fits = Q()
    for word in words:
        one = source.narrow(word)
        for name in source.fields:
            one |= Q(**{f"{name}__icontains": word})
        fits &= one
    first, whole = source.fields[0], " ".join(words)
    rank = Case(
        When(**{f"{first}__iexact": whole}, then=Value(0)),
        When(**{f"{first}__istartswith": words[0]}, then=Value(1)),
        When(**{f"{first}__icontains": words[0]}, then=Value(2)),
        default=Value(3),
    )
    rows: QuerySet[Any] = source.model._base_manager.filter(fits).select_related(*source.related)
    rows = rows.defer(*source.without) if source.without else rows
    kept = list(rows.annotate(rank=rank).order_by("rank", *(source.model._meta.ordering or ()), "pk")[: MOST_EACH + 1])
    found = tuple(_found(source, row) for row in kept[:MOST_EACH])
    listed = _list_of(_shown_by(source), whole) if source.at is None else ""
    return Group(source.name, found, len(kept) > MOST_EACH, listed)


def _found(source: Source, row: Any) -> Found:
    model, pk = source.at(row) if source.at else (source.model._meta.label_lower.replace(".", "_"), row.pk)
    title, detail = source.show(row)
    return Found(title, reverse(f"admin:{model}_change", args=[pk]), detail)


def _list_of(model: type[models.Model], words: str) -> str:
    label = model._meta.label_lower.replace(".", "_")
    return f"{reverse(f'admin:{label}_changelist')}?{urlencode({'q': words})}"


def _requests(text: str) -> Group:
    """Requests by their id or its beginning, and those of a session by the session's id."""
    if " " in text:
        return Group("Requests", ())
    fits = Q(request_id=text)
    if text.startswith("req_") and len(text) >= LEAST_ID:
        # Between two ends, and so by the index on every database; then exactly by its letters.
        fits = Q(request_id__gte=text, request_id__lte=f"{text}zzzz", request_id__startswith=text)
    rows = list(RequestRecord.objects.filter(fits).order_by("-request_id")[: MOST_EACH + 1])
    session = RequestRecord.objects.filter(session_id=text).order_by("-started_at")[: MOST_EACH + 1 - len(rows)]
    rows += list(session) if len(rows) <= MOST_EACH else []
    found = tuple(
        Found(
            row.request_id,
            reverse("admin:accounting_requestrecord_change", args=[row.pk]),
            f"{row.alias or 'no model'}, {row.get_outcome_display()}, {row.started_at:%Y-%m-%d %H:%M} UTC",
        )
        for row in rows[:MOST_EACH]
    )
    return Group("Requests", found, len(rows) > MOST_EACH, _list_of(RequestRecord, text))


def _events(words: Sequence[str]) -> Group:
    """Among the latest audit events."""
    newest = AuditEvent.objects.order_by("-id").values_list("id", flat=True).first() or 0
    rows = AuditEvent.objects.filter(id__gt=newest - LATEST_EVENTS).defer("changes")
    for word in words:
        rows = rows.filter(Q(object_name__icontains=word) | Q(actor__icontains=word) | Q(action__istartswith=word))
    kept = list(rows.order_by("-id")[: MOST_EACH + 1])
    found = tuple(
        Found(
            f"{row.action.capitalize()}: {spaced(row.object_type)} {row.object_name}",
            reverse("admin:accounting_auditevent_change", args=[row.pk]),
            f"{row.actor}, {row.at:%Y-%m-%d %H:%M} UTC",
        )
        for row in kept[:MOST_EACH]
    )
    return Group("Audit events", found, len(kept) > MOST_EACH)
