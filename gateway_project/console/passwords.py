"""Password forms whose change stands in the audit log (that it changed, never the password)."""

from typing import Any

from django.contrib.auth.forms import PasswordChangeForm, SetPasswordForm
from django.http import HttpRequest

from accounting.audit.changes import Actor, changing
from accounting.models import User
from accounting.signing_in import OWN, end_sign_ins
from gateway_project.console.access import actor_of


class Audited:
    """Saves the user through `changing`, as `actor`, and ends all their sign-ins but `own_sign_in`."""

    actor: Actor
    own_sign_in: int | None = None
    user: Any

    def save(self, commit: bool = True) -> Any:
        super().save(commit=False)  # type: ignore[misc]
        with changing(self.actor) as change:
            stored = User.objects.get(pk=self.user.pk)  # the form's may be the request's lazy stand-in
            stored.password = self.user.password
            change.save(stored, action="password changed")
            end_sign_ins(self.actor, stored, but=self.own_sign_in)
        return self.user


class OwnPasswordForm(Audited, PasswordChangeForm):
    """Asks for the old password."""

    @classmethod
    def of(cls, request: HttpRequest) -> Any:
        return type("OwnPassword", (cls,), {"actor": actor_of(request), "own_sign_in": request.session.get(OWN)})


class SomeonesPasswordForm(Audited, SetPasswordForm):  # type: ignore[type-arg]
    """An administrator sets the password of another person."""

    @classmethod
    def of(cls, request: HttpRequest) -> Any:
        return type("SomeonesPassword", (cls,), {"actor": actor_of(request)})
