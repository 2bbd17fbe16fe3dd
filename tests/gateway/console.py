"""An administrator's browser before a running gateway: signs in, reads forms, sends them."""

from http.cookiejar import CookieJar
from typing import Any
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, ProxyHandler, Request, build_opener

from tests.harness import Gateway
from tests.pages.page_form import fields_of

EMAIL, PASSWORD = "ada@example.org", "correct horse battery 9"


class Console:
    """One session. Every request may be served by another process."""

    def __init__(self, gateway: Gateway) -> None:
        gateway.manage("create_admin", "--email", EMAIL, "--password-stdin", text=PASSWORD)
        self._url = gateway.url
        self._cookies = CookieJar()
        self._opener = build_opener(ProxyHandler({}), HTTPCookieProcessor(self._cookies))
        self.get("/accounts/login/")
        self.post("/accounts/login/", {"email": EMAIL, "password": PASSWORD, "next": "/admin/"})

    def get(self, path: str) -> str:
        return self._open(Request(self._url + path))

    def post(self, path: str, values: dict[str, Any]) -> str:
        token = next(cookie.value for cookie in self._cookies if cookie.name == "csrftoken")
        data = urlencode({**values, "csrfmiddlewaretoken": token}, doseq=True).encode()
        return self._open(Request(self._url + path, data, {"origin": self._url}))

    def save(self, path: str, form: str, **values: Any) -> str:
        """Opens a form, changes these fields and sends it; the page after that."""
        return self.post(path, {**fields_of(self.get(path).encode(), form), **values})

    def _open(self, request: Request) -> str:
        with self._opener.open(request, timeout=20) as response:
            return str(response.read().decode())
