"""The language that somebody chose, as the cookie that Django's pages follow."""

from django.conf import settings
from django.http import HttpResponse

from accounting.models import User

ONE_YEAR = 365 * 24 * 3600


def remember_language(response: HttpResponse, user: User) -> None:
    """Sets the cookie to the person's choice; who made none gets what their browser asks for."""
    name, path = settings.LANGUAGE_COOKIE_NAME, settings.LANGUAGE_COOKIE_PATH
    if user.language in dict(settings.LANGUAGES):
        response.set_cookie(
            name, user.language, max_age=ONE_YEAR, path=path, secure=settings.SESSION_COOKIE_SECURE, samesite="Lax"
        )
    else:
        response.delete_cookie(name, path=path, samesite="Lax")
