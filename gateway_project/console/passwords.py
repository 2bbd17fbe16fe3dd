"""Password forms whose change stands in the audit log (that it changed, never the password)."""

from typing import Any

from django.contrib.auth.forms import PasswordChangeForm, SetPasswordForm
from django.http import HttpRequest

from accounting.audit.changes import Actor, changing
from accounting.models import User
from gateway_project.console.access import actor_of


class Audited:
    """Saves the user through `changing`, as `actor`."""

    actor: Actor
    user: Any

    def save(self, commit: bool = True) -> Any:
        super().save(commit=False)  # type: ignore[misc]
        with changing(self.actor) as change:
            stored = User.objects.get(pk=self.user.pk)  # the form's may be the request's lazy stand-in
            stored.password = self.user.password
            change.save(stored, action="password changed")
        return self.user


class OwnPasswordForm(Audited, PasswordChangeForm):
    """Asks for the old password."""

    @classmethod
    def of(cls, request: HttpRequest) -> Any:
        return type("OwnPassword", (cls,), {"actor": actor_of(request)})


class SomeonesPasswordForm(Audited, SetPasswordForm):  # type: ignore[type-arg]
    """An administrator sets the password of another person."""

    @classmethod
    def of(cls, request: HttpRequest) -> Any:
        return type("SomeonesPassword", (cls,), {"actor": actor_of(request)})
