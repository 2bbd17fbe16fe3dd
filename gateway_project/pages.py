"""Django's pages under ASGI."""

from typing import Any

from django.core.asgi import get_asgi_application
from django.core.handlers.asgi import ASGIHandler
from django.core.signals import request_finished
from django.db import connections


def django_pages() -> ASGIHandler:
    """Django, set up. Its requests give their database connections back."""
    application = get_asgi_application()
    request_finished.connect(leave_no_connection, dispatch_uid="pages")
    return application


def leave_no_connection(**_: Any) -> None:
    """Each request has a thread of its own under ASGI, and a connection that outlives its thread is nobody's: it would
    stay open until the garbage collector finds it, and PostgreSQL has a hundred. Threads that stay keep theirs."""
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close()
