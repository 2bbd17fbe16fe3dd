"""Guessing passwords is slow: five failures for one account from one address, then a wait. Kept in Django's cache."""

from django.core.cache import cache

from gateway_project.crypto import keyed_hash

MOST_FAILURES = 5
WINDOW_SECONDS = 15 * 60


def _name(email: str, address: str) -> str:
    return "sign-in:" + keyed_hash(f"{email}\0{address}")


def admit(email: str, address: str) -> bool:
    """Whether one more attempt may be made. It counts at once, so that attempts made together count together."""
    name = _name(email, address)
    cache.add(name, 0, WINDOW_SECONDS)
    try:
        return cache.incr(name) <= MOST_FAILURES
    except ValueError:  # the window ended between the two calls
        cache.set(name, 1, WINDOW_SECONDS)
        return True


def forget(email: str, address: str) -> None:
    """Called after a success."""
    cache.delete(_name(email, address))
