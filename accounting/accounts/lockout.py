"""Guessing passwords is slow, in every process: what was tried is counted in the database.

Five failures for one account from one address, then that address waits for that account; thirty failures from one address for
whatever accounts, then it waits for all. Nobody is locked out by what others do elsewhere: a browser that has signed in to
the account before is counted by itself, wherever it is and whoever else fails from there.
"""

import ipaddress
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.core import signing
from django.db import transaction
from django.db.models import F
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from accounting.models import AttemptCount
from gateway_project.client_address import client_address
from gateway_project.crypto import keyed_hash

MOST_FAILURES = 5
MOST_OF_AN_ADDRESS = 30
WINDOW_SECONDS = 15 * 60
MOST_FORGOTTEN = 500  # in one turn
KNOWN = "known_browser"  # the cookie of a browser that has signed in before
KNOWN_SECONDS = 365 * 24 * 3600
_SALT = "known browser"


@dataclass(frozen=True, slots=True)
class Attempt:
    """Somebody tries a password: for which account, from where, `known` if their browser has signed in to it before."""

    email: str
    network: str
    known: str = ""

    @property
    def counted_as(self) -> dict[str, int]:
        """What it counts towards, each with its limit."""
        if self.known:
            return {_name("browser", self.email, self.known): MOST_FAILURES}
        return {
            _name("account", self.email, self.network): MOST_FAILURES,
            _name("address", self.network): MOST_OF_AN_ADDRESS,
        }


def attempt_of(request: HttpRequest, email: str) -> Attempt:
    return Attempt(email, _network(client_address(request)), _known_browser(request, email))


def admit(attempt: Attempt) -> bool:
    """Whether one more attempt may be made. It counts at once, so that attempts made together count together."""
    moment = timezone.now()
    _forget_old(moment)
    counts = [_count(name, moment) <= most for name, most in attempt.counted_as.items()]
    return all(counts)


def succeeded(attempt: Attempt) -> None:
    """Forgets the failures for the account from here; of the address, only that this attempt was one."""
    own, *rest = attempt.counted_as
    AttemptCount.objects.filter(name=own).delete()
    AttemptCount.objects.filter(name__in=rest, count__gt=0).update(count=F("count") - 1)


def remember_browser(response: HttpResponse, request: HttpRequest, email: str) -> None:
    """Lets the browser show next time that it has signed in to this account."""
    name = _known_browser(request, email) or secrets.token_urlsafe(12)
    value = signing.dumps([keyed_hash(email), name], salt=_SALT)
    secure = request.is_secure()
    response.set_cookie(
        KNOWN, value, max_age=KNOWN_SECONDS, path="/accounts/", secure=secure, httponly=True, samesite="Lax"
    )


def _known_browser(request: HttpRequest, email: str) -> str:
    try:
        account, name = signing.loads(request.COOKIES.get(KNOWN, ""), salt=_SALT, max_age=KNOWN_SECONDS)
    except (signing.BadSignature, ValueError, TypeError):
        return ""
    return str(name) if account == keyed_hash(email) else ""


def _count(name: str, now: datetime) -> int:
    """Counts one more; how many that makes."""
    with transaction.atomic():
        row, _ = AttemptCount.objects.select_for_update().get_or_create(
            name=name, defaults={"until": now + timedelta(seconds=WINDOW_SECONDS)}
        )
        if row.until <= now:
            row.count, row.until = 0, now + timedelta(seconds=WINDOW_SECONDS)
        row.count += 1
        row.save(update_fields=["count", "until"])
    return row.count


def _forget_old(now: datetime) -> None:
    """Windows that are over, but for those that somebody else is forgetting at this moment."""
    with transaction.atomic():
        old = AttemptCount.objects.select_for_update(skip_locked=True).filter(until__lte=now)
        names = list(old.values_list("name", flat=True)[:MOST_FORGOTTEN])
        if names:
            AttemptCount.objects.filter(name__in=names).delete()


def _network(address: str) -> str:
    """Who has one address of IPv6 has a whole network of them."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is None:
        return str(ipaddress.ip_network(f"{found}/64", strict=False))
    return str(getattr(found, "ipv4_mapped", None) or found)


def _name(*parts: str) -> str:
    return keyed_hash("\0".join(("sign-in", *parts)))
