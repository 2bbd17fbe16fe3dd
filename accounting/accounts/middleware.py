"""Middleware that keeps track of who is signed in where, and ends a session whose sign-in was ended."""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.auth import logout
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.http import HttpRequest, HttpResponse

from accounting.models import User
from accounting.signing_in import begin, end_own, go_on


class SignedIn:
    """Stands after Django's authentication. Requests without a session's cookie cost nothing."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if settings.SESSION_COOKIE_NAME in request.COOKIES:
            user = request.user
            if user.is_authenticated and isinstance(user, User) and not go_on(request, user):
                logout(request)
        return self.get_response(request)


def listen() -> None:
    """Has sign-ins begin and end with Django's own."""
    user_logged_in.connect(_began, dispatch_uid="sign-ins")
    user_logged_out.connect(_ended, dispatch_uid="sign-ins")


def _began(sender: Any, request: HttpRequest, user: User, **_: Any) -> None:
    begin(request, user)


def _ended(sender: Any, request: HttpRequest | None, **_: Any) -> None:
    if request is not None:
        end_own(request.session)
