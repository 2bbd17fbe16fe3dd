"""Setting up a client in three steps, and a check of settings that somebody has. What is pasted is neither kept nor logged."""

from collections.abc import Sequence
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_post_parameters

from accounting.access.offers import offered_names, served_names
from accounting.clients.blocks import FORMATS, NO_KEY, Reader
from accounting.clients.checking import check, works
from accounting.clients.findings import Facts, KeyFact
from accounting.clients.pasted import LONGEST, Pasted, read_pasted, shown_settings, shown_shell
from accounting.clients.recipes import TOOLS
from accounting.dashboard.parties import party_of
from accounting.keyring.permissions import owns, visible_keys
from accounting.keyring.reading import DISABLED, EXPIRED, USABLE, blocked_by, in_state, keys_with_secrets, state_of
from accounting.models import VirtualKey
from gateway_project.console.shown_once import gateway_address
from gateway_project.crypto import keyed_hash
from gateway_project.dashboard.frame import TeamPage, render_page, team_page

BOTH = ("GET", "HEAD", "POST")
MOST_KEYS = 200
LONGEST_SECRET = 200


class CheckForm(forms.Form):
    settings = forms.CharField(
        label=_("A settings.json"),
        required=False,
        max_length=LONGEST,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 10, "class": "lines", "spellcheck": "false", "autocomplete": "off"}),
        help_text=_("~/.claude/settings.json, .claude/settings.json of a project, or a managed one."),
    )
    shell = forms.CharField(
        label=_("Lines of a shell"),
        required=False,
        max_length=LONGEST,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 8, "class": "lines", "spellcheck": "false", "autocomplete": "off"}),
        help_text=_("Exports, or what `env` prints."),
    )


@sensitive_post_parameters("secret")
@team_page("setup", methods=BOTH)
def setup(request: HttpRequest, page: TeamPage) -> HttpResponse:
    """Blocks to copy for a tool and a key. The key's secret is known only right after it was made: then the page that showed
    it posts it here, and it stands in the blocks of this one answer."""
    given = request.POST if request.method == "POST" else request.GET
    tool = TOOLS.get(given.get("tool", ""), TOOLS["claude-code"])
    format_ = given.get("format", "") if given.get("format") in tool.formats else tool.formats[0]
    mine = _own_keys(page)
    key, secret = _chosen(request, page, mine)
    reader = _reader(request, page, key, secret)
    context = {
        "tools": TOOLS.values(),
        "tool": tool,
        "formats": [(name, FORMATS[name]) for name in tool.formats],
        "format": format_,
        "keys": mine,
        "key": key,
        "secret": secret,
        "address": reader.address,
        "insecure": reader.address.startswith("http://"),
        "names": reader.names,
        "blocks": tool.write(reader, format_),
    }
    response = render_page(request, page, "dashboard/setup.html", context)
    response["Cache-Control"] = "no-store"
    return response


def _chosen(request: HttpRequest, page: TeamPage, mine: Sequence[VirtualKey]) -> tuple[VirtualKey | None, str]:
    """The key that the blocks are for, and its secret if that was posted; nothing of what is no secret of the team's keys."""
    secret = request.POST.get("secret", "")[:LONGEST_SECRET]
    if secret:
        keys = visible_keys(party_of(page)).filter(project__team=page.team)
        if key := keys_with_secrets(keys, [secret]).get(secret):
            return key, secret
    return next((each for each in mine if str(each.pk) == request.GET.get("key")), None), ""


def _reader(request: HttpRequest, page: TeamPage, key: VirtualKey | None, secret: str) -> Reader:
    lists = [page.team.allowed_models, *([key.allowed_models] if key else [])]
    names = tuple(each.name for each in offered_names(*lists))
    placeholder = f"PASTE_THE_KEY_{key.prefix}_HERE" if key else NO_KEY
    return Reader(gateway_address(request), secret or placeholder, names)


@sensitive_post_parameters("settings", "shell")
@team_page("setup", methods=BOTH)
def check_settings(request: HttpRequest, page: TeamPage) -> HttpResponse:
    """Explains what somebody's settings do, line by line. Secrets are compared by their keyed hash, and not shown again."""
    form = CheckForm(request.POST if request.method == "POST" else None)
    context: dict[str, Any] = {"form": form}
    if request.method == "POST":
        pasted = read_pasted(request.POST.get("settings", "")[:LONGEST], request.POST.get("shell", "")[:LONGEST])
        if form.is_valid():
            findings = check(pasted, _facts(request, page, pasted))
            context |= {"findings": findings, "works": works(findings), "pasted": pasted}
        # Never what was sent: a form that is shown again has its secrets masked.
        shown = {"settings": shown_settings(pasted), "shell": shown_shell(pasted)}
        context |= {"form": CheckForm(initial=shown), "too_long": not form.is_valid()}
    response = render_page(request, page, "dashboard/setup_check.html", context)
    response["Cache-Control"] = "no-store"
    return response


def _own_keys(page: TeamPage) -> Sequence[VirtualKey]:
    """The usable keys that somebody may put into a tool: their own, and the team's service keys."""
    party = party_of(page)
    usable = in_state(visible_keys(party).filter(project__team=page.team), USABLE, timezone.now())
    return [key for key in usable.order_by("-id")[:MOST_KEYS] if key.owner is None or owns(party, key)]


def _facts(request: HttpRequest, page: TeamPage, pasted: Pasted) -> Facts:
    keys = visible_keys(party_of(page)).filter(project__team=page.team)
    found = keys_with_secrets(keys, pasted.secrets[:20])
    return Facts(
        address=gateway_address(request),
        names=served_names(),
        allowed_models=page.team.allowed_models,
        keys={secret: _fact(key, secret) for secret, key in found.items()},
    )


def _fact(key: VirtualKey, secret: str) -> KeyFact:
    now = timezone.now()
    is_old = key.secret_hash != keyed_hash(secret)
    state = state_of(key, now)
    if state == USABLE and is_old and not key.has_two_secrets(now):
        state = EXPIRED
    if state == USABLE and blocked_by(key):
        state = DISABLED
    return KeyFact(key.name, state, is_old, key.allowed_models)
