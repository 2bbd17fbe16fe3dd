"""Who calls the REST API: the holder of an API token, or someone signed in to the console."""

from typing import Any

from django.utils import timezone
from rest_framework.authentication import BaseAuthentication, SessionAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from accounting.models import ApiToken, User
from accounting.selectors import Viewer, api_token, viewer_of_token, viewer_of_user, why_refused

CHALLENGE = 'Bearer realm="gateway API"'


class ApiTokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer gwt_…`; 401 for a token that is unknown, revoked or has expired."""

    def authenticate(self, request: Request) -> tuple[Viewer, ApiToken] | None:
        scheme, _, secret = get_authorization_header(request).decode("latin-1").partition(" ")
        if scheme.lower() != "bearer":
            return None
        token = api_token(secret.strip())
        if token is None:
            raise AuthenticationFailed("This is not an API token of this gateway.")
        if refusal := why_refused(token, timezone.now()):
            raise AuthenticationFailed(refusal)
        return viewer_of_token(token), token

    def authenticate_header(self, request: Request) -> str:
        return CHALLENGE


class SignedInAuthentication(SessionAuthentication):
    """The console's session, with Django's check against cross-site requests."""

    def authenticate(self, request: Request) -> tuple[Any, None] | None:
        found = super().authenticate(request)
        if found is None or not isinstance(found[0], User):
            return None
        return viewer_of_user(found[0]), None
