"""Who may do what in the console: administrators everything, auditors see everything and change nothing."""

from typing import Any

from django.contrib.auth.models import AnonymousUser, Group
from django.http import HttpRequest

from accounting.audit.changes import Actor
from accounting.models import User
from gateway_project.client_address import client_address

AUDITORS = "auditor"


def is_auditor(user: User | AnonymousUser) -> bool:
    """Whether `user` is staff in the auditors' group; asked once for each user object."""
    if not isinstance(user, User) or not (user.is_active and user.is_staff):
        return False
    known = user.__dict__.get("_is_auditor")
    if known is None:
        known = user.__dict__["_is_auditor"] = user.groups.filter(name=AUDITORS).exists()
    return bool(known)


def is_administrator(user: User | AnonymousUser) -> bool:
    return isinstance(user, User) and user.is_active and user.is_staff and user.is_superuser


def may_enter(user: User | AnonymousUser) -> bool:
    return is_administrator(user) or is_auditor(user)


def auditors() -> Group:
    """The auditors' group, made when it is first needed."""
    return Group.objects.get_or_create(name=AUDITORS)[0]


def actor_of(request: HttpRequest) -> Actor:
    """The signed-in person, as the audit log names them."""
    return Actor(str(request.user), "user", client_address(request))


class AdministratorsWrite:
    """Permissions of a table that administrators edit and auditors read."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        return may_enter(request.user)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may_enter(request.user)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_administrator(request.user)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_administrator(request.user)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_administrator(request.user)


class NobodyWrites(AdministratorsWrite):
    """Permissions of history: both kinds of people read it, nobody edits it."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
