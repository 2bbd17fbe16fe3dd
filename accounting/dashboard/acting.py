"""The reader of a team's page as somebody who acts, and what a refusal says beside a form's fields."""

from django import forms
from django.core.exceptions import ValidationError

from accounting.limits.asking import Party
from gateway_project.dashboard.frame import TeamPage

BOTH = ("GET", "HEAD", "POST")  # the methods of a page with a form


def party_of(page: TeamPage) -> Party:
    """Who acts: a member by their role, an administrator as one, an auditor for reading."""
    roles = {page.team.name: page.role} if page.standing == "member" else {}
    admin, auditor = page.standing == "administrator", page.standing == "auditor"
    return Party(page.user.email, admin=admin, reads_all=auditor, roles=roles)


def put_errors(form: forms.Form, error: ValidationError) -> None:
    """The sentences of a refusal beside the fields that they are about, or above the form."""
    if not hasattr(error, "error_dict"):
        form.add_error(None, error)
        return
    for name, errors in error.error_dict.items():
        form.add_error(name if name in form.fields else None, ValidationError(errors))
