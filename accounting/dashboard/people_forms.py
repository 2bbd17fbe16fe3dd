"""Forms of the pages of people: invitations, roles, the team itself."""

import secrets
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from accounting.access.roles import MEMBER
from gateway_project.dashboard.role_names import ROLE_MEANINGS
from gateway_project.dashboard.zones import zone_choices

BY_LINK, BY_MAIL = "link", "mail"


def new_form_id() -> str:
    """What tells a form that is sent twice from two forms."""
    return secrets.token_urlsafe(18)


class InvitationForm(forms.Form):
    """Whom to invite, as what, for how long."""

    email = forms.EmailField(
        label=_("E-mail address"),
        required=False,
        max_length=254,
        widget=forms.EmailInput(attrs={"autocomplete": "off"}),
        help_text=_("The invitation is then for this address only. Empty: for the first who opens the link."),
    )
    role = forms.ChoiceField(label=_("Role"), widget=forms.RadioSelect)
    days = forms.TypedChoiceField(
        label=_("Works for"),
        choices=[(1, pgettext_lazy("how long an invitation holds", "a day")), (7, _("7 days")), (30, _("30 days"))],
        coerce=int,
        initial=7,
    )
    mailed = forms.ChoiceField(
        label=_("How it gets there"),
        choices=[
            (BY_MAIL, _("By mail to the address")),
            (BY_LINK, _("As a link that you hand over; it is shown once")),
        ],
        widget=forms.RadioSelect,
        required=False,
    )

    form_id = forms.CharField(widget=forms.HiddenInput, max_length=40, initial=new_form_id)

    def __init__(self, *args: Any, roles: tuple[str, ...], mail: bool, **kwargs: Any) -> None:
        super().__init__(*args, **{"label_suffix": "", **kwargs})
        given: Any = self.fields["role"]
        given.choices = [(role, ROLE_MEANINGS[role]) for role in reversed(roles)]
        given.initial = MEMBER
        if mail:
            self.fields["mailed"].initial = BY_MAIL
        else:
            del self.fields["mailed"]

    @property
    def by_mail(self) -> bool:
        return self.cleaned_data.get("mailed") == BY_MAIL


class RoleForm(forms.Form):
    role = forms.ChoiceField(label=_("Role"), widget=forms.RadioSelect)
    version = forms.IntegerField(widget=forms.HiddenInput)

    def __init__(self, *args: Any, roles: tuple[str, ...], **kwargs: Any) -> None:
        super().__init__(*args, **{"label_suffix": "", **kwargs})
        given: Any = self.fields["role"]
        given.choices = [(role, ROLE_MEANINGS[role]) for role in roles]


class TeamForm(forms.Form):
    """What owners say about their team."""

    display_name = forms.CharField(
        label=_("Shown as"), required=False, max_length=120, help_text=_("Empty: the team's name.")
    )
    timezone = forms.ChoiceField(label=_("Time zone"), help_text=_("When a day, a week, a month begins for budgets."))
    version = forms.IntegerField(widget=forms.HiddenInput)

    def __init__(self, *args: Any, current: str, **kwargs: Any) -> None:
        super().__init__(*args, **{"label_suffix": "", **kwargs})
        zone: Any = self.fields["timezone"]
        zone.choices = zone_choices(current)


class NewProjectForm(forms.Form):
    name = forms.CharField(
        label=_("Name"),
        max_length=63,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
        help_text=_("Lower-case letters, digits and dashes. It stands in usage and records and does not change."),
    )
    display_name = forms.CharField(label=_("Shown as"), required=False, max_length=120)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"label_suffix": "", **kwargs})


class ProjectForm(forms.Form):
    display_name = forms.CharField(
        label=_("Shown as"), required=False, max_length=120, help_text=_("Empty: the project's name.")
    )
    version = forms.IntegerField(widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"label_suffix": "", **kwargs})
