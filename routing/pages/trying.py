"""Trying a model from the dashboard: one prompt through the gateway's own path, as the person who is signed in.

It is a request like any other: limits, routes, records and costs are those of the team, the project chosen and the person. With
scripts the answer comes as the stream it is; without, whole.
"""

import json
from collections.abc import AsyncIterator, Iterable
from typing import Any

from asgiref.sync import async_to_sync
from django import forms
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.utils.translation import gettext_lazy as _

from accounting.models import Project
from accounting.selectors import find_record, projects_in_use
from gateway_project.client_address import client_address
from gateway_project.dashboard.frame import TeamPage, render_page, team_page
from routing.inside import Answer, ask
from routing.offers import insider

LONGEST_PROMPT = 20_000
MOST_TOKENS = 4096
DEFAULT = "default"  # the project that stands first


class TryForm(forms.Form):
    prompt = forms.CharField(
        label=_("Prompt"),
        max_length=LONGEST_PROMPT,
        widget=forms.Textarea(attrs={"rows": 4}),
        initial=_("Say hello in one sentence."),
    )
    project = forms.ChoiceField(label=_("Project"), help_text=_("Which project pays."))
    max_tokens = forms.IntegerField(
        label=_("Most tokens of the answer"), min_value=1, max_value=MOST_TOKENS, initial=512
    )

    def __init__(self, projects: Iterable[Project], data: Any = None) -> None:
        super().__init__(data)
        found = sorted(projects, key=lambda each: (each.name != DEFAULT, each.name))
        choices = [(each.name, each.display_name or each.name) for each in found]
        field = self.fields["project"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = choices


def may_try(page: TeamPage) -> bool:
    """Members spend their team's money; who only looks in does not."""
    return page.is_member and page.standing == "member"


@team_page("models", methods=("POST",))
def try_model(request: HttpRequest, page: TeamPage, name: str) -> HttpResponse | StreamingHttpResponse:
    """Sends the prompt. What the gateway answers, a refusal too, is shown as it is."""
    if not may_try(page):
        raise PermissionDenied("Members of the team can try its models.")
    form = TryForm(projects_in_use(page.team), request.POST)
    if not form.is_valid():
        return render_page(request, page, "dashboard/try.html", {"form": form, "name": name}, status=400)
    values = form.cleaned_data
    streamed = request.headers.get("x-try-stream") == "1"
    body = {
        "model": name,
        "max_tokens": values["max_tokens"],
        "stream": streamed,
        "messages": [{"role": "user", "content": values["prompt"]}],
    }
    grant = insider(page.user, page.team, values["project"])
    asked = ask(grant, json.dumps(body).encode(), client_address(request))
    if streamed:
        return StreamingHttpResponse(_lines(asked), content_type="application/octet-stream")
    answer = async_to_sync(_whole)(asked)
    return render_page(request, page, "dashboard/try.html", {"form": form, "name": name, **_shown(answer)})


@team_page("models")
def tried(request: HttpRequest, page: TeamPage, request_id: str) -> HttpResponse:
    """What a request that was just tried came to, as a fragment; 404 until its record is stored."""
    record = find_record(request_id[:40])
    if record is None or record.team != page.team.name or record.user != page.user.email:
        raise Http404
    return render_page(request, page, "dashboard/partials/tried.html", {"record": record})


async def _lines(asked: AsyncIterator[Answer | bytes]) -> AsyncIterator[bytes]:
    """A line of JSON with status and request id, then the gateway's answer as it comes."""
    async for part in asked:
        if isinstance(part, Answer):
            yield json.dumps({"status": part.status, "request_id": part.request_id}).encode() + b"\n"
        elif part:
            yield part


async def _whole(asked: AsyncIterator[Answer | bytes]) -> tuple[Answer, bytes]:
    head, parts = Answer(502, ""), []
    async for part in asked:
        if isinstance(part, Answer):
            head = part
        else:
            parts.append(part)
    return head, b"".join(parts)


def _shown(answer: tuple[Answer, bytes]) -> dict[str, Any]:
    """The text of a whole answer, or what the error says."""
    head, body = answer
    try:
        said = json.loads(body)
        texts = (
            [block.get("text", "") for block in said["content"]] if head.status == 200 else [said["error"]["message"]]
        )
        text = "".join(texts)
    except (ValueError, KeyError, TypeError, AttributeError):
        text = body[:2000].decode("utf-8", "replace")
    return {"answered": True, "status": head.status, "request_id": head.request_id, "text": text}
