"""The page of one key, and what can be done to it."""

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import formats, timezone
from django.utils.translation import gettext as _

from accounting.access.offers import offered_names
from accounting.audit.changes import ChangeSet, StaleVersion, changing
from accounting.clients.blocks import Reader
from accounting.clients.recipes import first_steps
from accounting.dashboard.key_forms import RATE_NAMES, ChangeKeyForm, RotateForm
from accounting.dashboard.keys import key_or_none, manages
from accounting.dashboard.parties import party_of
from accounting.keyring.orders import end_old_secret, revise, revoke, rotate, switch
from accounting.keyring.reading import standing_of
from accounting.limits.asking import NotAllowed, Party
from accounting.limits.loading import budget_terms, organization_terms
from accounting.limits.standing import standings
from accounting.limits.terms import dollars_of
from accounting.models import AuditEvent, Budget, OrganizationSettings, RateLimit, VirtualKey
from accounting.money.reports import Question, usage
from accounting.templatetags.console import spaced
from gateway_project.console.access import actor_of
from gateway_project.console.shown_once import gateway_address, keep_once, take_once, waits
from gateway_project.dashboard.frame import TeamPage, render_page, team_page
from gateway_project.dashboard.periods import MONTH, Period, read_period

MOST_EVENTS = 20
MOST_MODELS = 20
BOTH = ("GET", "HEAD", "POST")


def _open(page: TeamPage, pk: int, *, to_manage: bool = True) -> VirtualKey:
    """The key, for whoever may see it; to manage it takes more."""
    key = key_or_none(page, pk)
    if key is None:
        raise Http404
    if to_manage and not manages(page, key):
        raise PermissionDenied(_("You may see this key and not manage it."))
    return key


@team_page("keys")
def key(request: HttpRequest, page: TeamPage, pk: int) -> HttpResponse:
    """What a key may do, what it used, its limits, and what happened to it."""
    row = _open(page, pk, to_manage=False)
    period = read_period(request.GET, page.zone, timezone.now(), default=MONTH)
    events = AuditEvent.objects.filter(object_type="virtualkey", object_id=str(row.pk))
    context = {
        "key": row,
        "standing": standing_of(row, timezone.now()),
        "manages": manages(page, row) and row.revoked_at is None,
        "period": period,
        "budgets": _budgets(row),
        "rates": [(RATE_NAMES[rate.kind], rate) for rate in RateLimit.objects.filter(key=row, enabled=True)],
        "events": [(event, _fields(event)) for event in events[:MOST_EVENTS]],
        **_usage(row, period),
    }
    return render_page(request, page, "dashboard/key.html", context)


@team_page("keys", methods=BOTH)
def change_key(request: HttpRequest, page: TeamPage, pk: int) -> HttpResponse:
    """Name, end, models, addresses and tags of a key."""
    row = _open(page, pk)
    offered = offered_names(row.project.team.allowed_models)
    form = ChangeKeyForm(request.POST, offered=offered) if request.method == "POST" else ChangeKeyForm.of(row, offered)
    if request.method == "POST" and form.is_valid():
        values, version = form.values(row), form.cleaned_data["version"]
        if _tried(request, form, lambda change: revise(change, party_of(page), row, values, expected_version=version)):
            messages.success(request, _("Saved. It takes effect within a second."))
            return HttpResponseRedirect(page.address("dashboard:key", pk))
    return render_page(request, page, "dashboard/key_change.html", {"form": form, "key": _open(page, pk)})


@team_page("keys", methods=BOTH)
def rotate_key(request: HttpRequest, page: TeamPage, pk: int) -> HttpResponse:
    """A new secret, and how long the old one works on."""
    row = _open(page, pk)
    form = RotateForm(
        request.POST if request.method == "POST" else None, initial={"version": row.version, "overlap": "24h"}
    )
    if request.method == "POST" and form.is_valid():
        given = form.cleaned_data
        if row.version != given["version"] and waits(request, "virtualkey", pk):
            return HttpResponseRedirect(page.address("dashboard:key_secret", pk))  # the form was sent twice

        def make(change: ChangeSet) -> None:
            fresh = rotate(change, party_of(page), row, given["overlap"], expected_version=given["version"])
            keep_once(request, "virtualkey", pk, fresh)

        if _tried(request, form, make):
            return HttpResponseRedirect(page.address("dashboard:key_secret", pk))
    standing = standing_of(_open(page, pk), timezone.now())
    return render_page(request, page, "dashboard/key_rotate.html", {"form": form, "key": row, "standing": standing})


@team_page("keys")
def key_secret(request: HttpRequest, page: TeamPage, pk: int) -> HttpResponse:
    """The secret that was just made, shown once, with lines that carry it."""
    row = _open(page, pk)
    secret = take_once(request, "virtualkey", pk) if request.method == "GET" else None
    steps: list[Any] = []
    if secret is not None:
        names = offered_names(row.project.team.allowed_models, row.allowed_models)
        steps = first_steps(Reader(gateway_address(request), secret.reveal(), tuple(each.name for each in names)))
    context = {"key": row, "secret": secret.reveal() if secret else "", "blocks": steps}
    response = render_page(request, page, "dashboard/key_secret.html", context)
    response["Cache-Control"] = "no-store"
    return response


@team_page("keys", methods=BOTH)
def revoke_key(request: HttpRequest, page: TeamPage, pk: int) -> HttpResponse:
    """Asks, then ends the key for good."""
    row = _open(page, pk)
    if request.method != "POST":
        context = {"key": row, "standing": standing_of(row, timezone.now())}
        return render_page(request, page, "dashboard/key_revoke.html", context)
    return _done(request, page, row, revoke, _("Revoked for good. It stops within a second."))


@team_page("keys", methods=("POST",))
def switch_key(request: HttpRequest, page: TeamPage, pk: int) -> HttpResponse:
    """Disables the key, or enables it again."""
    enabled = request.POST.get("enabled") == "1"
    said = _("Enabled.") if enabled else _("Disabled. Requests with it are refused within a second.")

    def change_it(change: ChangeSet, party: Party, row: VirtualKey) -> None:
        switch(change, party, row, enabled=enabled)

    return _done(request, page, _open(page, pk), change_it, said)


@team_page("keys", methods=("POST",))
def end_old(request: HttpRequest, page: TeamPage, pk: int) -> HttpResponse:
    """The secret before the latest rotation stops now."""
    return _done(request, page, _open(page, pk), end_old_secret, _("The old secret stops within a second."))


def _done(
    request: HttpRequest,
    page: TeamPage,
    row: VirtualKey,
    action: Callable[[ChangeSet, Party, VirtualKey], None],
    said: str,
) -> HttpResponse:
    try:
        with changing(actor_of(request)) as change:
            action(change, party_of(page), row)
    except (ValidationError, NotAllowed, StaleVersion) as error:
        messages.error(request, " ".join(error.messages) if isinstance(error, ValidationError) else str(error))
    else:
        messages.success(request, said)
    return HttpResponseRedirect(page.address("dashboard:key", row.pk))


def _tried(request: HttpRequest, form: Any, action: Callable[[ChangeSet], Any]) -> bool:
    """Whether a form's change was made; what is refused of it stands in the form."""
    try:
        with changing(actor_of(request)) as change:
            action(change)
    except ValidationError as error:
        form.refuse(error) if hasattr(form, "refuse") else form.add_error(None, error)
    except StaleVersion as error:
        form.add_error(None, str(error))
    else:
        return True
    return False


def _usage(row: VirtualKey, period: Period) -> dict[str, Any]:
    """What the key used, by its name: a rotated key has several prefixes and one name, as for its budget."""
    names = (("team", row.project.team.name), ("project", row.project.name), ("key", row.name))

    def asked(*groups: str) -> Any:
        question = Question(
            groups, period.since, period.until, names, zone=str(period.zone) if "day" in groups else "UTC"
        )
        return usage(question)[0]

    days = asked("day")
    total = {figure: sum(day.sums[figure] for day in days) for figure in ("requests", "cost_usd", "errors", "refused")}
    total["tokens"] = sum(
        day.sums[kind] for day in days for kind in ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")
    )
    models = sorted(asked("alias"), key=lambda each: each.sums["cost_usd"], reverse=True)
    chart = {
        "labels": [formats.date_format(day.group[0], "j M") for day in days],
        "unit": "usd",
        "series": [{"name": _("Cost"), "values": [float(day.sums["cost_usd"]) for day in days]}],
    }
    return {"total": total, "models": models[:MOST_MODELS], "days": days, "chart": chart}


def _fields(event: AuditEvent) -> list[str]:
    """What an event changed, as words; of a new key that is everything, and of secrets nothing."""
    return [] if event.action == "created" else [spaced(name) for name in event.changes if not name.endswith("_hash")]


def _budgets(row: VirtualKey) -> list[dict[str, Any]]:
    rows = list(Budget.objects.filter(key=row, enabled=True).select_related("key__project__team"))
    if not rows:
        return []
    terms = list(budget_terms(rows, organization_terms(OrganizationSettings.objects.first())))
    return [
        {
            "row": budget,
            "spent": dollars_of(standing.spent),
            "limit": dollars_of(standing.limit),
            "share": standing.spent / standing.limit if standing.limit else 1.0,
        }
        for budget, standing in zip(rows, standings(terms), strict=True)
    ]
