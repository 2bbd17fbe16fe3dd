"""Alerts of a team: what was raised, the rules, where it is sent and how that goes."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils import timezone
from django.utils.translation import gettext as _

from accounting.access.roles import ADMIN
from accounting.alerting.setting import (
    choices_of,
    delete_destination,
    delete_rule,
    events_of,
    rotate_secret,
    save_destination,
    save_rule,
    send_test_to,
    test_destination,
)
from accounting.audit.changes import StaleVersion, changing
from accounting.dashboard.alert_forms import DestinationForm, RuleForm
from accounting.dashboard.limit_forms import refuse
from accounting.limits.asking import NotAllowed, party_of_user
from accounting.models import AlertDelivery, AlertDestination, AlertRule
from gateway_project.console.access import actor_of
from gateway_project.console.forms import VersionedForm
from gateway_project.crypto import Secret
from gateway_project.dashboard.frame import TeamPage, render_page, team_page

PER_PAGE = 25
WRITE = ("GET", "HEAD", "POST")


@team_page("alerts")
def alerts(request: HttpRequest, page: TeamPage) -> HttpResponse:
    """What was raised, newest first, and how its sending went."""
    listed = Paginator(events_of(page.team), PER_PAGE).get_page(request.GET.get("page"))
    failing = [each for each in choices_of(page.team) if each.disabled_because or each.failing_since]
    return render_page(request, page, "dashboard/alerts.html", {"listed": listed, "failing": failing, "tab": "alerts"})


@team_page("alerts")
def alert_rules(request: HttpRequest, page: TeamPage) -> HttpResponse:
    """The rules, and the kinds that there are."""
    names = {each.pk: each.name for each in choices_of(page.team)}
    rules = list(AlertRule.objects.filter(team=page.team).order_by("name"))
    rows = [(rule, [names[each] for each in rule.destinations if each in names]) for rule in rules]
    context = {"rows": rows, "kinds": AlertRule.Kind.choices, "tab": "rules"}
    return render_page(request, page, "dashboard/alert_rules.html", context)


@team_page("alerts")
def alert_destinations(request: HttpRequest, page: TeamPage) -> HttpResponse:
    """Where alerts go, and how that goes."""
    return render_page(
        request, page, "dashboard/alert_destinations.html", {"rows": choices_of(page.team), "tab": "destinations"}
    )


@team_page("alerts", least=ADMIN)
def alert_destination(request: HttpRequest, page: TeamPage, pk: int) -> HttpResponse:
    """One destination with the history of its deliveries."""
    row = _destination(page, pk)
    rows = AlertDelivery.objects.filter(destination=row.pk).select_related("event").order_by("-id")
    listed = Paginator(rows, PER_PAGE).get_page(request.GET.get("page"))
    return render_page(request, page, "dashboard/alert_destination.html", {"row": row, "listed": listed})


@team_page("alerts", least=ADMIN, methods=WRITE)
def alert_rule_new(request: HttpRequest, page: TeamPage) -> HttpResponse:
    kind = request.GET.get("kind", "")
    if kind not in AlertRule.Kind.values:
        return HttpResponseRedirect(page.address("dashboard:alert_rules"))
    rule = AlertRule(team=page.team, kind=kind)
    every = [each.pk for each in choices_of(page.team) if each.enabled]
    return _edit_rule(request, page, rule, {"name": rule.get_kind_display(), "destinations": every})


@team_page("alerts", least=ADMIN, methods=WRITE)
def alert_rule_change(request: HttpRequest, page: TeamPage, pk: int) -> HttpResponse:
    return _edit_rule(request, page, _rule(page, pk), {})


@team_page("alerts", least=ADMIN, methods=WRITE)
def alert_rule_delete(request: HttpRequest, page: TeamPage, pk: int) -> HttpResponse:
    rule = _rule(page, pk)
    if request.method == "POST":
        with changing(actor_of(request)) as change:
            delete_rule(change, party_of_user(page.user), rule)
        messages.success(request, _("Deleted."))
        return HttpResponseRedirect(page.address("dashboard:alert_rules"))
    return render_page(request, page, "dashboard/alert_delete.html", {"row": rule, "back": "dashboard:alert_rules"})


@team_page("alerts", least=ADMIN, methods=WRITE)
def alert_destination_new(request: HttpRequest, page: TeamPage) -> HttpResponse:
    kind = request.GET.get("kind", "")
    if kind not in AlertDestination.Kind.values:
        return HttpResponseRedirect(page.address("dashboard:alert_destinations"))
    return _edit_destination(request, page, AlertDestination(team=page.team, kind=kind))


@team_page("alerts", least=ADMIN, methods=WRITE)
def alert_destination_change(request: HttpRequest, page: TeamPage, pk: int) -> HttpResponse:
    return _edit_destination(request, page, _destination(page, pk))


@team_page("alerts", least=ADMIN, methods=WRITE)
def alert_destination_delete(request: HttpRequest, page: TeamPage, pk: int) -> HttpResponse:
    row = _destination(page, pk)
    if request.method == "POST":
        with changing(actor_of(request)) as change:
            delete_destination(change, party_of_user(page.user), row)
        messages.success(request, _("Deleted."))
        return HttpResponseRedirect(page.address("dashboard:alert_destinations"))
    context = {"row": row, "back": "dashboard:alert_destinations"}
    return render_page(request, page, "dashboard/alert_delete.html", context)


@team_page("alerts", least=ADMIN, methods=("POST",))
def alert_destination_test(request: HttpRequest, page: TeamPage, pk: int) -> HttpResponse:
    """Sends a test message and shows how that went."""
    row = _destination(page, pk)
    with changing(actor_of(request)) as change:
        test_destination(change, party_of_user(page.user), row)
    last = send_test_to(row, timezone.now()).last
    if last.get("error"):
        messages.error(request, _("The test did not arrive: %(error)s.") % {"error": last["error"]})
    else:
        messages.success(request, _("The test has arrived."))
    return HttpResponseRedirect(page.address("dashboard:alert_destination", row.pk))


@team_page("alerts", least=ADMIN, methods=("POST",))
def alert_destination_rotate(request: HttpRequest, page: TeamPage, pk: int) -> HttpResponse:
    """Makes a new secret and shows it, once."""
    row = _destination(page, pk)
    if row.kind != AlertDestination.Kind.WEBHOOK:
        raise Http404
    with changing(actor_of(request)) as change:
        secret = rotate_secret(change, party_of_user(page.user), row)
    return _show_secret(request, page, row, secret)


def _edit_rule(request: HttpRequest, page: TeamPage, rule: AlertRule, initial: dict[str, Any]) -> HttpResponse:
    form = RuleForm(request.POST or None, instance=rule, initial=initial)
    if request.method == "POST" and form.is_valid():
        version = None if rule._state.adding else rule.version
        if _saved(request, page, form, lambda change, party: save_rule(change, party, rule, expected_version=version)):
            messages.success(request, _("Saved."))
            return HttpResponseRedirect(page.address("dashboard:alert_rules"))
    context = {"form": form, "row": rule, "is_new": rule._state.adding, "back": "dashboard:alert_rules"}
    return render_page(request, page, "dashboard/alert_form.html", context, status=400 if form.errors else 200)


def _edit_destination(request: HttpRequest, page: TeamPage, row: AlertDestination) -> HttpResponse:
    form = DestinationForm(request.POST or None, instance=row)
    if request.method == "POST" and form.is_valid():
        version, fresh = None if row._state.adding else row.version, []
        if _saved(
            request,
            page,
            form,
            lambda change, party: fresh.append(save_destination(change, party, row, expected_version=version)),
        ):
            if fresh[0] is not None:
                return _show_secret(request, page, row, fresh[0])
            messages.success(request, _("Saved."))
            return HttpResponseRedirect(page.address("dashboard:alert_destination", row.pk))
    context = {"form": form, "row": row, "is_new": row._state.adding, "back": "dashboard:alert_destinations"}
    return render_page(request, page, "dashboard/alert_form.html", context, status=400 if form.errors else 200)


def _saved(request: HttpRequest, page: TeamPage, form: VersionedForm, save: Any) -> bool:
    """Whether a form could be saved; if not, the reason stands in it."""
    try:
        with changing(actor_of(request)) as change:
            save(change, party_of_user(page.user))
    except ValidationError as error:
        refuse(form, error)
    except StaleVersion as error:
        form.add_error(None, str(error))
    except NotAllowed as error:
        raise PermissionDenied(str(error)) from None
    return not form.errors


def _show_secret(request: HttpRequest, page: TeamPage, row: AlertDestination, secret: Secret) -> HttpResponse:
    return render_page(request, page, "dashboard/alert_secret.html", {"row": row, "secret": secret.reveal()})


def _rule(page: TeamPage, pk: int) -> AlertRule:
    row = AlertRule.objects.select_related("team").filter(team=page.team, pk=pk).first()
    if row is None:
        raise Http404
    return row


def _destination(page: TeamPage, pk: int) -> AlertDestination:
    row = AlertDestination.objects.select_related("team").defer("secret").filter(team=page.team, pk=pk).first()
    if row is None:
        raise Http404
    return row
