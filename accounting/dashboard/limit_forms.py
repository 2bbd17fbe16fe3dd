"""Forms about limits: asking for more, deciding, setting budgets and rate limits."""

from typing import Any

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounting.limits.asking import Party
from accounting.limits.setting import settable_keys, settable_projects
from accounting.models import Budget, Project, RateLimit, Team, VirtualKey
from gateway_project.console.fields import DollarsField, MomentField, PercentagesField
from gateway_project.console.forms import VersionedForm

MOST_CHOICES = 1000
_NARROWED = {
    "model": _("Only models"),
    "tag": _("Only keys with the tag"),
}
_NARROWED_HELP = {
    "model": _("A pattern such as claude-opus-*; empty for all models."),
    "tag": _("As name=value; empty for all keys."),
}


def refuse(form: forms.BaseForm, error: ValidationError) -> None:
    """Puts what a service refused beside the fields; what has no field here stands above them."""
    form.is_valid()  # errors are added to those of its own
    named = error.message_dict if hasattr(error, "error_dict") else {NON_FIELD_ERRORS: error.messages}
    for name, messages in named.items():
        form.add_error(name if name in form.fields else None, list(messages))


class AskForm(forms.Form):
    """Asks for more of a budget."""

    amount = DollarsField(label=_("How much more"), help_text=_("Dollars on top of the budget."))
    until = MomentField(label=_("Until"))
    reason = forms.CharField(
        label=_("Reason"),
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=_("Who decides reads it."),
    )


class DecisionForm(forms.Form):
    """Decides about a request for more; another amount or end than was asked for is a change."""

    amount = DollarsField(label=_("Amount"), help_text=_("Dollars; change it to approve another amount."))
    until = MomentField(label=_("Until"))
    comment = forms.CharField(
        label=_("Comment"),
        required=False,
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=_("Whoever asked reads it."),
    )

    @property
    def is_changed(self) -> bool:
        return bool({"amount", "until"} & set(self.changed_data))


class TargetField(forms.ChoiceField):
    """What a limit is for, of that which somebody may set limits of."""

    def offer(self, team: Team, party: Party) -> None:
        projects = [
            (f"project:{row.pk}", row.name) for row in settable_projects(party).filter(team=team)[:MOST_CHOICES]
        ]
        keys = settable_keys(party).filter(project__team=team)[:MOST_CHOICES]
        groups: list[tuple[Any, Any]] = []
        if party.admin:
            groups.append((f"team:{team.pk}", gettext("The whole team")))
        groups.append((gettext("Projects"), projects))
        groups.append((gettext("Keys"), [(f"key:{row.pk}", f"{row.project.name}/{row.name}") for row in keys]))
        self.choices = groups


class LimitForm(VersionedForm):
    """What budgets and rate limits share: `target` is chosen once, when the limit is made."""

    def __init__(self, *args: Any, team: Team, party: Party, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            return
        target = TargetField(label=_("For"), required=True)
        target.offer(team, party)
        self.fields = {"target": target, **self.fields}

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        scope, _colon, pk = str(cleaned.get("target") or "").partition(":")
        if scope:
            limit = self.instance
            limit.scope = scope
            limit.team = Team.objects.get(pk=pk) if scope == "team" else None
            limit.project = Project.objects.select_related("team").get(pk=pk) if scope == "project" else None
            limit.key = VirtualKey.objects.select_related("project__team").get(pk=pk) if scope == "key" else None
        return cleaned


class BudgetForm(LimitForm):
    amount = DollarsField(label=_("Amount"), help_text=_("Dollars for each period."))
    soft = PercentagesField(
        required=False,
        label=_("Soft limits"),
        help_text=_("Percentages, such as 50, 80: each raises one alert in a period."),
    )
    raise_amount = DollarsField(
        required=False, label=_("Raised by"), help_text=_("Dollars that are added for a while.")
    )
    raise_until = MomentField(required=False, label=_("Raised until"))

    class Meta:
        model = Budget
        fields = (
            "period",
            "amount",
            "hard",
            "soft",
            "carry_over",
            "model",
            "tag",
            "raise_amount",
            "raise_until",
            "raise_reason",
        )
        labels = {
            **_NARROWED,
            "period": _("Period"),
            "hard": _("Stops requests when it is used up"),
            "carry_over": _("What is left is carried over"),
            "raise_reason": _("Because"),
        }
        help_texts = {
            **_NARROWED_HELP,
            "hard": _("Otherwise it only counts and alerts."),
            "carry_over": _("Into the next period, one amount at most."),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        period: Any = self.fields["period"]
        words = (_("day"), _("week, from Monday"), _("month"), _("quarter"), _("in all, without an end"))
        names = ("day", "week", "month", "quarter", "total")
        period.choices = list(zip(names, words, strict=True))
        if not self.instance.pk:
            self.initial["period"] = "month"
            for name in ("raise_amount", "raise_until", "raise_reason"):
                del self.fields[name]


class RateLimitForm(LimitForm):
    class Meta:
        model = RateLimit
        fields = ("kind", "amount", "model", "tag")
        labels = {**_NARROWED, "kind": _("What"), "amount": _("How many")}
        help_texts = {**_NARROWED_HELP, "kind": _("In any sixty seconds, or at a time.")}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        kind: Any = self.fields["kind"]
        kind.choices = [
            ("requests_per_minute", _("requests per minute")),
            ("input_tokens_per_minute", _("input tokens per minute")),
            ("output_tokens_per_minute", _("output tokens per minute")),
            ("concurrent_requests", _("requests at a time")),
            ("concurrent_streams", _("streams at a time")),
        ]
