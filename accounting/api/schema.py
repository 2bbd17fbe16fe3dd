"""How the OpenAPI description names the ways to authenticate. Importing it makes them known."""

# drf-spectacular registers extensions by an untyped hook
# mypy: disable-error-code="no-untyped-call"

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension


class ApiTokenScheme(OpenApiAuthenticationExtension):
    target_class = "accounting.api.authentication.ApiTokenAuthentication"
    name = "apiToken"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "gwt_…"}


class SignedInScheme(OpenApiAuthenticationExtension):
    target_class = "accounting.api.authentication.SignedInAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "apiKey", "in": "cookie", "name": "sessionid"}
