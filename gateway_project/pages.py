"""Django's pages under ASGI."""

import re
from typing import Any

import django
from django.core.handlers.asgi import ASGIHandler
from django.core.signals import request_finished
from django.db import connections

_CHARSET = re.compile(rb";\s*charset\*?\s*=\s*(?:\"[^\"]*\"|[^;]*)", re.IGNORECASE)


def django_pages() -> ASGIHandler:
    """Django, set up. Its requests give their database connections back."""
    django.setup(set_prefix=False)
    request_finished.connect(leave_no_connection, dispatch_uid="pages")
    return Pages()


class Pages(ASGIHandler):
    """Django's handler. Addresses, forms and JSON are UTF-8, whatever a header claims: Django would read them by any codec
    that Python has, and fail with those that are none of text."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = [
            (name, _CHARSET.sub(b"", value) if name == b"content-type" else value) for name, value in scope["headers"]
        ]
        await super().__call__({**scope, "headers": headers}, receive, send)


def leave_no_connection(**_: Any) -> None:
    """Each request has a thread of its own under ASGI, and a connection that outlives its thread is nobody's: it would
    stay open until the garbage collector finds it, and PostgreSQL has a hundred. Threads that stay keep theirs."""
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close()
