"""Import and export of the whole configuration in the console, for administrators: download a file; or look at what a file
would change, then apply exactly that."""

from collections import Counter
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from accounting.audit.changes import StaleVersion, changing
from gateway_project.console.access import actor_of, is_administrator
from gateway_project.console.editing import sentences
from routing.admin.configuration_form import VALUE, Draft, ImportForm, unsealed
from routing.admin.why import PutOff, put_aside, settle
from routing.declarative import ConfigRefused, Imported, export_config
from routing.declarative.trying import Moved, carry_out, try_out
from routing.versions.difference import MOST_CHANGES
from routing.versions.keeping import current_version
from routing.versions.proposals import Wish

MOVED = "The configuration was changed meanwhile: this is what the file would change now. Nothing was applied."
FORGOTTEN = "What you looked at is not to be had any more; look at it again."


def configuration_view(request: HttpRequest) -> HttpResponse:
    """The page. A POST shows what a file would change, and with `apply` applies what was shown (`sealed`, `mark`)."""
    if not is_administrator(request.user):
        raise PermissionDenied
    if request.method == "POST":
        return _apply(request) if "apply" in request.POST else _show(request)
    return _page(request, ImportForm())


def export_view(request: HttpRequest) -> HttpResponse:
    """The configuration as a file; what it needs for its secrets stands at its top."""
    if not is_administrator(request.user):
        raise PermissionDenied
    with transaction.atomic():
        exported = export_config()
    head = [f"# The gateway's configuration of {timezone.now():%Y-%m-%d %H:%M} UTC. Secrets are references."]
    head += [f"# ${{{name}}}: {what}" for name, what in exported.variables.items()]
    head += [f"# note: {note}" for note in exported.notes]
    text = "".join(f"{line}\n" for line in head) + exported.text
    response = HttpResponse(text, content_type="application/yaml; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="gateway-{timezone.now():%Y-%m-%d-%H%M}.yaml"'
    response["Cache-Control"] = "no-store"
    return response


def _show(request: HttpRequest) -> HttpResponse:
    form = ImportForm(request.POST, request.FILES)
    if not form.is_valid():
        return _page(request, form)
    try:
        draft = form.draft(request.user.pk or 0)
    except ValidationError as error:
        form.add_error(None, error)
        return _page(request, form)
    return _tried(request, form, draft)


def _tried(request: HttpRequest, form: ImportForm, draft: Draft) -> HttpResponse:
    """The page with what `draft` would change now."""
    tried = try_out(draft.wanted, actor_of(request))
    words = Counter(each.action for each in tried.changes)
    context = {
        "tried": tried,
        "draft": draft,
        "sealed": draft.seal(),
        "changes": tried.changes[:MOST_CHANGES],
        "more_changes": max(0, len(tried.changes) - MOST_CHANGES),
        "counts": ", ".join(f"{count} {word}" for word, count in words.items()),
        "inputs": [(name, f"{VALUE}{name}", name in draft.values) for name in (*tried.missing, *draft.values)],
        "may_apply": bool(tried.changes) and not tried.problems and not tried.mixed,
    }
    return _page(request, form, **context)


def _apply(request: HttpRequest) -> HttpResponse:
    draft = unsealed(request.POST.get("sealed", ""), request.user.pk or 0)
    if draft is None:
        messages.error(request, FORGOTTEN)
        return HttpResponseRedirect(reverse("admin:configuration"))
    current_version()
    try:
        with changing(actor_of(request)) as change:
            change.reason = draft.reason
            result = carry_out(change, draft.wanted, request.POST.get("mark", ""))
            settle(change, Wish(draft.reason))
    except PutOff as waiting:
        return put_aside(request, waiting)
    except (Moved, ConfigRefused):
        messages.warning(request, MOVED)
    except (ValidationError, StaleVersion) as error:
        messages.error(request, sentences(error))
    else:
        return _done(request, result)
    return _tried(request, _as_typed(draft), draft)


def _as_typed(draft: Draft) -> ImportForm:
    text = "" if draft.name else draft.data.decode("utf-8", "replace")
    return ImportForm(initial={"text": text, "part": draft.part, "prune": draft.prune, "reason": draft.reason})


def _done(request: HttpRequest, result: Imported) -> HttpResponse:
    """Leads back; keys that were made are shown once, and this page is not kept anywhere."""
    count = len(result.changes)
    messages.success(request, f"Imported: {count} change{'s' if count != 1 else ''}; every process serves it now.")
    if not result.keys:
        return HttpResponseRedirect(reverse("admin:configuration"))
    keys = [(f"{key.team}/{key.project}/{key.name}", key.secret.reveal()) for key in result.keys]
    return _page(request, ImportForm(), keys=keys)


def _page(request: HttpRequest, form: ImportForm, **context: Any) -> HttpResponse:
    page = {
        **admin.site.each_context(request),
        "title": "Import and export",
        "subtitle": "The whole configuration as one file: providers, routes, aliases, teams, keys, limits, prices.",
        "form": form,
        **context,
    }
    response = TemplateResponse(request, "admin/configuration.html", page)
    response["Cache-Control"] = "no-store"
    return response
