"""Forms about alerts: rules and destinations."""

import json
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from accounting.alerting.setting import choices_of
from accounting.models import AlertDestination, AlertRule
from gateway_project.console.fields import ChoicesField, LinesField
from gateway_project.console.forms import VersionedForm
from gateway_project.mail import mail_is_configured

NUMBERS = ("percent", "minutes", "least_requests", "days")


class RuleForm(VersionedForm):
    """A rule of a kind that is chosen already: only the numbers of that kind are asked."""

    destinations: Any = ChoicesField(labels={}, required=False, label=_("Send to"))

    class Meta:
        model = AlertRule
        fields = ("name", *NUMBERS, "destinations", "enabled")
        labels = {
            "name": _("Name"),
            "percent": _("Per cent"),
            "minutes": _("Within minutes"),
            "least_requests": _("Of at least so many requests"),
            "days": _("Days"),
            "enabled": _("In use"),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        rule = self.instance
        wanted = AlertRule.NUMBERS[rule.kind]
        for name in NUMBERS:
            if name not in wanted:
                del self.fields[name]
                continue
            least, most, default = wanted[name]
            field: Any = self.fields[name]
            field.required = default is not None
            field.widget.attrs |= {"min": least, "max": most}
            if not rule.pk:
                self.initial[name] = default
        if rule.kind == AlertRule.Kind.BUDGET_THRESHOLD:
            self.fields["percent"].help_text = _("Only soft limits of at least so many per cent; empty for all.")
        choices = choices_of(rule.team)
        field = self.fields["destinations"]
        field.allow({each.pk: f"{each.name} ({each.where})" for each in choices})
        if not choices:
            field.help_text = _("There is no destination yet; alerts are listed all the same.")
        if rule.pk:
            self.initial["shown"] = json.dumps(self._current())  # as chosen among these destinations


class DestinationForm(VersionedForm):
    """A destination of a kind that is chosen already."""

    addresses = LinesField(label=_("E-mail addresses"), help_text=_("One on each line, ten at most."))

    class Meta:
        model = AlertDestination
        fields = ("name", "addresses", "url", "enabled")
        labels = {"name": _("Name"), "url": _("Address"), "enabled": _("In use")}
        help_texts = {"url": _("Begins with https://. Every message is signed; the secret is shown once.")}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.kind == AlertDestination.Kind.MAIL:
            del self.fields["url"]
            if not mail_is_configured():
                self.fields["addresses"].help_text = _(
                    "No mail is configured on this gateway; nothing is sent until it is."
                )
        else:
            del self.fields["addresses"]
            url: Any = self.fields["url"]
            url.required, url.widget = True, forms.URLInput(attrs={"maxlength": 500})
