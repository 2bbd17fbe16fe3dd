"""The page's form and what it shows; the console and a member's own page share it."""

from collections.abc import Sequence
from typing import Any

from django import forms
from django.http import HttpRequest
from django.utils import timezone

from accounting.access.directory import Directory
from accounting.models import RequestRecord
from routing.explaining.decision import Sources, explain
from routing.explaining.explanation import Explanation
from routing.explaining.question import FORMATS, LARGEST_BODY, Question, Unaskable
from routing.explaining.sources import NoSuchKey, grant_of, sources
from routing.explaining.stored import question_of

FORMAT_LABELS = {"anthropic": "Anthropic Messages", "bedrock": "Bedrock InvokeModel", "vertex": "Vertex rawPredict"}


class ExplainForm(forms.Form):
    """What is known of a request."""

    key = forms.CharField(label="Key", max_length=20, help_text="The prefix, such as gw_1a2b3c4d.")
    model = forms.CharField(
        label="Model asked for", max_length=300, required=False, help_text="Empty: the one in the pasted request."
    )
    format = forms.ChoiceField(
        label="Format", choices=[(name, FORMAT_LABELS[name]) for name in FORMATS], required=False
    )
    stream = forms.BooleanField(label="Streamed", required=False)
    session = forms.CharField(label="Session id", max_length=200, required=False)
    betas = forms.CharField(
        label="Betas", max_length=2000, required=False, help_text="Values of anthropic-beta, separated by commas."
    )
    body = forms.CharField(
        label="Request body",
        required=False,
        strip=False,
        max_length=LARGEST_BODY,
        widget=forms.Textarea(attrs={"rows": 8, "class": "lines", "spellcheck": "false"}),
        help_text="JSON, as the client sends it. Nothing is sent on and nothing is kept. Empty: a small one stands in.",
    )

    def __init__(self, *args: Any, keys: Sequence[tuple[str, str]] | None = None, **kwargs: Any) -> None:
        kwargs.setdefault("label_suffix", "")
        super().__init__(*args, **kwargs)
        if keys is not None:
            self.fields["key"] = forms.ChoiceField(label="Key", choices=list(keys))

    def question(self) -> Question:
        values = self.cleaned_data
        return Question(
            model=values["model"].strip(),
            format=values["format"] or FORMATS[0],
            stream=values["stream"],
            betas=tuple(part.strip() for part in values["betas"].split(",") if part.strip()),
            session_id=values["session"].strip(),
            body=values["body"].encode("utf-8", "replace"),
        )


def answer(
    request: HttpRequest, record: RequestRecord | None = None, *, keys: Sequence[tuple[str, str]] | None = None
) -> dict[str, Any]:
    """The context of the page: the form, and once something is asked the explanation.

    `record` is a stored request to begin with; `keys` are the prefixes, with labels, that this person may ask about.
    """
    figures, directory = sources(timezone.now())
    context: dict[str, Any] = {"record": record, "live": figures.live}
    if request.method == "POST":
        form = ExplainForm(request.POST, keys=keys)
        if form.is_valid():
            context["found"] = _found(form, form.question(), form.cleaned_data["key"], figures, directory)
        return {**context, "form": form}
    initial = {name: request.GET.get(name, "")[:300] for name in ("key", "model", "format", "session", "betas")}
    if record is not None:
        question = question_of(record)
        initial = {
            "key": record.key_prefix,
            "model": question.model,
            "format": question.format,
            "session": question.session_id,
        }
        form = ExplainForm(initial={**initial, "stream": question.stream}, keys=keys)
        return {**context, "form": form, "found": _found(form, question, record.key_prefix, figures, directory)}
    if not initial["key"] or not initial["model"]:
        return {**context, "form": ExplainForm(initial=initial, keys=keys)}
    form = ExplainForm({**initial, "stream": request.GET.get("stream", "")}, keys=keys)
    if form.is_valid():
        context["found"] = _found(form, form.question(), form.cleaned_data["key"], figures, directory)
    return {**context, "form": form}


def _found(
    form: ExplainForm, question: Question, prefix: str, figures: Sources, directory: Directory
) -> Explanation | None:
    """The explanation; without one the form, or the page, says why."""
    try:
        return explain(question, grant_of(prefix, directory), figures)
    except NoSuchKey as error:
        _say(form, "key", str(error))
    except Unaskable as error:
        _say(form, "body" if question.body.strip() else "model", str(error))
    return None


def _say(form: ExplainForm, name: str, text: str) -> None:
    if form.is_bound:
        form.add_error(name, text)
    else:
        form.fields[name].help_text = text
