"""What a list of requests can be narrowed by, read out of its address."""

from typing import Any

from django import forms
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from accounting.history.listing import Question
from accounting.models import Project, RequestRecord, Team, VirtualKey
from accounting.templatetags.console import OUTCOMES
from gateway_project.dashboard.periods import Period

LATEST = 500  # requests whose names are offered
MOST_OFFERED = 300
SHORT = {"class": "short", "inputmode": "numeric", "autocomplete": "off"}


class Suggested(forms.TextInput):
    """A text with suggestions: a list of the same page, named by `list_id`."""

    def __init__(self, list_id: str, **attributes: Any) -> None:
        super().__init__({"list": list_id, "autocomplete": "off", **attributes})


class RequestFilters(forms.Form):
    """Each may be left empty. What cannot be read is said beside its field, and then nothing is shown."""

    q = forms.CharField(
        label=_("Request or session id"), required=False, max_length=200, widget=forms.TextInput({"type": "search"})
    )
    outcome = forms.ChoiceField(label=_("Outcome"), required=False)
    model = forms.CharField(label=_("Model"), required=False, max_length=300, widget=Suggested("models"))
    project = forms.ChoiceField(label=_("Project"), required=False)
    key = forms.ChoiceField(label=_("Key"), required=False)
    person = forms.CharField(label=_("Person"), required=False, max_length=254, widget=Suggested("people"))
    status = forms.IntegerField(
        label=_("Status"), required=False, min_value=100, max_value=999, widget=forms.TextInput(SHORT)
    )
    min_cost = forms.DecimalField(
        label=_("Least cost, $"),
        required=False,
        min_value=0,
        max_digits=19,
        decimal_places=12,
        widget=forms.TextInput(SHORT | {"inputmode": "decimal"}),
    )
    session = forms.CharField(required=False, max_length=200, widget=forms.HiddenInput)
    agent = forms.CharField(required=False, max_length=200, widget=forms.HiddenInput)

    def __init__(self, data: Any, team: Team) -> None:
        super().__init__(data, label_suffix="", prefix=None)
        everything = ("", _("all"))
        names = {"project": _projects(team), "key": keys_of(team), "outcome": tuple(OUTCOMES.items())}
        for name, choices in names.items():
            chosen = str(data.get(name, ""))
            offered = list(choices)
            if name != "outcome" and chosen and chosen not in dict(offered):
                offered.append((chosen, chosen))  # of a project or key that is gone; its requests are not
            self.fields[name].choices = [everything, *offered]  # type: ignore[attr-defined]

    @property
    def narrows(self) -> bool:
        """Whether anything but the period is chosen."""
        return any(value not in (None, "") for value in self.cleaned_data.values())

    def question(self, period: Period, *, any_time: bool) -> Question:
        values = self.cleaned_data
        return Question(
            since=None if any_time else period.since,
            until=None if any_time else period.until,
            text=values["q"].strip(),
            outcome=values["outcome"],
            model=values["model"].strip(),
            project=values["project"],
            key=values["key"],
            person=values["person"].strip(),
            session=values["session"],
            agent=values["agent"],
            status=values["status"],
            least_cost=values["min_cost"],
        )


def suggestions(records: "QuerySet[RequestRecord]") -> dict[str, list[str]]:
    """Names of the latest requests: models asked for or served, and people."""
    rows = records.order_by("-started_at", "-id").values_list("alias", "upstream_model", "user")[:LATEST]
    models, people = set(), set()
    for alias, model, person in rows:
        models |= {alias, model}
        people.add(person)
    return {"models": sorted(models - {""})[:MOST_OFFERED], "people": sorted(people - {""})[:MOST_OFFERED]}


def _projects(team: Team) -> list[tuple[str, str]]:
    names = Project.objects.filter(team=team).order_by("name").values_list("name", "display_name")
    return [(name, display or name) for name, display in names[:MOST_OFFERED]]


def keys_of(team: Team) -> list[tuple[str, str]]:
    keys = VirtualKey.objects.filter(project__team=team).order_by("project__name", "name")
    rows = keys.values_list("prefix", "project__name", "name")[:MOST_OFFERED]
    return [(prefix, f"{project} / {name} ({prefix}…)") for prefix, project, name in rows]
