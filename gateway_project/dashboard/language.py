"""The language of a page, and the one that somebody chose, as the cookie that Django's pages follow."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.middleware.locale import LocaleMiddleware
from django.utils import translation

from accounting.models import User

ONE_YEAR = 365 * 24 * 3600
ENGLISH = ("/admin/", "/explain/", "/api/")  # pages without a catalogue; half of one would be Django's


class PageLanguage(LocaleMiddleware):
    """What the reader wants, where pages are translated; elsewhere Django's own sentences and numbers are English, too."""

    def process_request(self, request: HttpRequest) -> None:
        if request.path_info.startswith(ENGLISH):
            translation.activate("en")
            request.LANGUAGE_CODE = translation.get_language()
        else:
            super().process_request(request)


def remember_language(response: HttpResponse, user: User) -> None:
    """Sets the cookie to the person's choice; who made none gets what their browser asks for."""
    name, path = settings.LANGUAGE_COOKIE_NAME, settings.LANGUAGE_COOKIE_PATH
    if user.language in dict(settings.LANGUAGES):
        response.set_cookie(
            name, user.language, max_age=ONE_YEAR, path=path, secure=settings.SESSION_COOKIE_SECURE, samesite="Lax"
        )
    else:
        response.delete_cookie(name, path=path, samesite="Lax")
