"""Forms about keys. What they mean is checked by accounting.keyring; here only whether it can be read."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from accounting.access.offers import OfferedName
from accounting.keyring.orders import Order, OwnLimits
from accounting.limits.periods import PERIODS
from accounting.limits.terms import RATE_KINDS
from accounting.models import Project, User, VirtualKey
from accounting.models.limits import MOST_RATE
from gateway_project.console.fields import LinesField, MomentField, TagsField

NEVER, CHOSEN = "", "chosen"
LIFETIMES = (
    (NEVER, _("never")),
    ("7", _("in 7 days")),
    ("30", _("in 30 days")),
    ("90", _("in 90 days")),
    ("365", _("in a year")),
    (CHOSEN, _("at the moment below")),
)
PERIOD_NAMES = {
    "day": _("day"), "week": _("week"), "month": _("month"), "quarter": _("quarter"), "total": _("in all"),
}  # fmt: skip
RATE_NAMES = {
    "requests_per_minute": _("Requests a minute"),
    "input_tokens_per_minute": _("Input tokens a minute"),
    "output_tokens_per_minute": _("Output tokens a minute"),
    "concurrent_requests": _("Requests at a time"),
    "concurrent_streams": _("Streams at a time"),
}
OVERLAP_CHOICES = (
    ("now", _("Stop it now")),
    ("1h", _("Keep it for 1 hour")),
    ("24h", _("Keep it for 24 hours")),
    ("7d", _("Keep it for 7 days")),
)


class RestrictionsForm(forms.Form):
    """What making and changing a key share: its name, and what it may do."""

    name = forms.CharField(
        label=_("Name"),
        max_length=63,
        help_text=_("Lower-case letters, digits and dashes, such as ada-laptop or ci-tests."),
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}),
    )
    models = forms.MultipleChoiceField(
        label=_("Models"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("None chosen and no pattern given: everything that the team may use."),
    )
    patterns = LinesField(
        label=_("More names or patterns"),
        required=False,
        help_text=_("One on each line; * stands for any run of characters, as in claude-sonnet-*."),
    )
    allowed_ips = LinesField(
        label=_("Allowed addresses"),
        required=False,
        help_text=_("Addresses or networks, one on each line, such as 203.0.113.0/24. None: from anywhere."),
    )
    tags = TagsField(
        label=_("Tags"),
        required=False,
        help_text=_("One on each line, as name: value. Records and costs carry them."),
    )

    def __init__(self, *args: Any, offered: Sequence[OfferedName], **kwargs: Any) -> None:
        super().__init__(*args, **{"label_suffix": "", **kwargs})
        choices: Any = self.fields["models"]
        choices.choices = [(each.name, each.name) for each in offered]
        if not offered:
            del self.fields["models"]

    def allowed_models(self) -> list[str]:
        """What was chosen and typed, together; everything if that is nothing."""
        both = [*self.cleaned_data.get("models", []), *self.cleaned_data["patterns"]]
        return list(dict.fromkeys(both)) or ["*"]

    def refuse(self, error: ValidationError) -> None:
        """Puts what a service refused beside the fields that it is about."""
        if not hasattr(error, "error_dict"):
            self.add_error(None, error)
            return
        for name, errors in error.error_dict.items():
            field = {"allowed_models": "patterns"}.get(name, name)
            self.add_error(field if field in self.fields else None, errors)


class NewKeyForm(RestrictionsForm):
    """A new key, with limits of its own."""

    once = forms.CharField(widget=forms.HiddenInput, max_length=40)
    kind = forms.ChoiceField(
        label=_("Kind"),
        choices=(
            (VirtualKey.Kind.PERSONAL, _("personal: for one person's own work")),
            (VirtualKey.Kind.SERVICE, _("service: for a program, a pipeline, a server")),
        ),
        widget=forms.RadioSelect,
    )
    owner = forms.ModelChoiceField(
        label=_("Owner"),
        queryset=User.objects.none(),
        required=False,
        empty_label=_("yourself"),
        help_text=_("Of a personal key."),
    )
    project = forms.ModelChoiceField(label=_("Project"), queryset=Project.objects.none(), empty_label=None)
    lifetime = forms.ChoiceField(label=_("Expires"), choices=LIFETIMES, required=False)
    expires_at = MomentField(label=_("Moment"), required=False, help_text=_("Only for “at the moment below”."))
    budget = forms.DecimalField(
        label=_("Budget in dollars"),
        required=False,
        decimal_places=12,
        max_digits=30,
        widget=forms.NumberInput(attrs={"step": "any", "min": "0"}),
        help_text=_("On top of the budgets that the team and the project have; the smallest one counts."),
    )
    budget_period = forms.ChoiceField(
        label=_("for each"), choices=[(name, PERIOD_NAMES[name]) for name in PERIODS], initial="month"
    )

    def __init__(self, *args: Any, personal_only: bool, members: Any, projects: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for kind in RATE_KINDS:
            number = forms.IntegerField(label=RATE_NAMES[kind], required=False, min_value=1, max_value=MOST_RATE)
            self.fields[kind] = number
        chosen: Any = self.fields["project"]
        chosen.queryset = projects
        if personal_only:
            del self.fields["kind"], self.fields["owner"]
        else:
            owner: Any = self.fields["owner"]
            owner.queryset = members

    def clean(self) -> dict[str, Any]:
        given = super().clean() or self.cleaned_data
        if given.get("lifetime") == CHOSEN and not given.get("expires_at") and "expires_at" not in self.errors:
            self.add_error("expires_at", _("Give the moment, or choose another end."))
        if given.get("expires_at") and given.get("lifetime") != CHOSEN:
            self.add_error("lifetime", _("A moment is given below; choose “at the moment below”, or empty it."))
        return given

    def order(self, now: datetime) -> Order:
        """What was asked for."""
        given = self.cleaned_data
        ends = given["expires_at"] if given["lifetime"] == CHOSEN else None
        if given["lifetime"] not in (NEVER, CHOSEN):
            ends = now + timedelta(days=int(given["lifetime"]))
        kind = given.get("kind", VirtualKey.Kind.PERSONAL)
        rates = {name: given[name] for name in RATE_KINDS if given.get(name) is not None}
        return Order(
            project=given["project"],
            name=given["name"],
            kind=kind,
            owner=given.get("owner"),
            expires_at=ends,
            allowed_models=self.allowed_models(),
            allowed_ips=given["allowed_ips"],
            tags=given["tags"],
            limits=OwnLimits(given["budget"], given["budget_period"], rates),
        )


class ChangeKeyForm(RestrictionsForm):
    """A key that is there already; `version` is the one that the page showed."""

    version = forms.IntegerField(widget=forms.HiddenInput)
    expires_at = MomentField(label=_("Expires"), required=False, help_text=_("Empty: never."))

    field_order = ("name", "expires_at", "models", "patterns", "allowed_ips", "tags", "version")

    @classmethod
    def of(cls, key: VirtualKey, offered: Sequence[OfferedName]) -> "ChangeKeyForm":
        known = {each.name for each in offered}
        listed = [] if key.allowed_models == ["*"] else key.allowed_models
        return cls(
            offered=offered,
            initial={
                "version": key.version,
                "name": key.name,
                "expires_at": key.expires_at,
                "models": [name for name in listed if name in known],
                "patterns": [name for name in listed if name not in known],
                "allowed_ips": key.allowed_ips,
                "tags": key.tags,
            },
        )

    def values(self, key: VirtualKey) -> dict[str, Any]:
        """The fields as the person left them. A key that may use no model at all stays so until one is given."""
        given = self.cleaned_data
        models = self.allowed_models()
        if models == ["*"] and key.allowed_models == [] and "*" not in given["patterns"]:
            models = []
        ends = given["expires_at"]
        if ends and key.expires_at and ends == key.expires_at.replace(microsecond=0):
            ends = key.expires_at  # the page shows whole seconds
        listed = {name: given[name] for name in ("name", "allowed_ips", "tags")}
        return {**listed, "expires_at": ends, "allowed_models": models}


class RotateForm(forms.Form):
    overlap = forms.ChoiceField(
        label=_("The old secret"), choices=OVERLAP_CHOICES, widget=forms.RadioSelect, initial="24h"
    )
    version = forms.IntegerField(widget=forms.HiddenInput)


class KeyFilterForm(forms.Form):
    """The filters of the list, as the address has them."""

    q = forms.CharField(label=_("Name or prefix"), required=False, max_length=63)
    project = forms.ModelChoiceField(
        label=_("Project"), queryset=Project.objects.none(), required=False, empty_label=_("all"), to_field_name="name"
    )
    kind = forms.ChoiceField(
        label=_("Kind"),
        required=False,
        choices=(("", _("all")), ("personal", _("personal")), ("service", _("service"))),
    )
    state = forms.ChoiceField(
        label=_("State"),
        required=False,
        choices=(
            ("", _("not revoked")),
            ("usable", _("usable")),
            ("unused", _("not used lately")),
            ("expiring", _("expire soon")),
            ("disabled", _("disabled")),
            ("expired", _("expired")),
            ("revoked", _("revoked")),
            ("all", _("all")),
        ),
    )
    mine = forms.ChoiceField(label=_("Whose"), required=False, choices=(("", _("everybody's")), ("1", _("mine"))))

    def __init__(self, *args: Any, projects: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"label_suffix": "", **kwargs})
        chosen: Any = self.fields["project"]
        chosen.queryset = projects
