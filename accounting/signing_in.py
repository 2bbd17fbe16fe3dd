"""Where people are signed in: written when they sign in, kept up while they look at pages, ended one by one or all at once.

A sign-in is bookkeeping like `last_login` and no change of configuration; that somebody ended some is in the audit log.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.models import Session
from django.db import transaction
from django.http import HttpRequest
from django.utils import timezone

from accounting.audit.changes import Actor, changing
from accounting.models import SignIn, User
from gateway_project.client_address import client_address
from gateway_project.sessions import end_stored, stored_key

OWN = "sign_in"  # in the session: the id of its SignIn
SEEN_EVERY = timedelta(minutes=1)
MOST_SHOWN = 200


def begin(request: HttpRequest, user: User) -> SignIn:
    """Notes that somebody is signed in with the request's session."""
    session = request.session
    if not session.session_key:
        session.create()
    now = timezone.now()
    with transaction.atomic():
        _forget_old(user, now)
        sign_in, _ = SignIn.objects.update_or_create(
            session_hash=stored_key(session.session_key or ""),
            defaults={"user": user, "created_at": now, "last_seen": now, **_seen(request)},
        )
        User.objects.filter(pk=user.pk).update(last_seen=now)
    session[OWN] = sign_in.pk
    return sign_in


def go_on(request: HttpRequest, user: User) -> bool:
    """Keeps the sign-in of the request up to date; False when it was ended, and the session is to end too."""
    own = request.session.get(OWN)
    if own is None:  # from before sign-ins were kept
        begin(request, user)
        return True
    sign_in = SignIn.objects.filter(pk=own, user=user).first()
    if sign_in is None:
        return False
    now, values = timezone.now(), _seen(request)
    key = stored_key(request.session.session_key or "")
    if sign_in.session_hash != key or now - sign_in.last_seen >= SEEN_EVERY:
        SignIn.objects.filter(pk=own).update(session_hash=key, last_seen=now, **values)
        User.objects.filter(pk=user.pk).update(last_seen=now)
    return True


def end_own(session: SessionBase) -> None:
    """For signing out: the sign-in goes with its session."""
    if own := session.get(OWN):
        SignIn.objects.filter(pk=own).delete()


def sign_ins_of(user: User) -> list[SignIn]:
    """Where somebody is signed in, latest first: what still has its session."""
    alive = Session.objects.filter(expire_date__gt=timezone.now()).values("session_key")
    return list(user.sign_ins.filter(session_hash__in=alive)[:MOST_SHOWN])


def end_sign_in(actor: Actor, user: User, pk: int) -> bool:
    """Ends one of somebody's sign-ins; False if there is none of theirs (any more)."""
    return bool(_end(actor, user, SignIn.objects.filter(user=user, pk=pk)))


def end_sign_ins(actor: Actor, user: User, *, but: Any = None) -> int:
    """Ends all sign-ins of somebody, or all `but` the session's own; how many."""
    rows = SignIn.objects.filter(user=user)
    return _end(actor, user, rows.exclude(pk=but) if but else rows)


def _end(actor: Actor, user: User, rows: Iterable[SignIn]) -> int:
    with changing(actor) as change:
        ended = list(rows)
        if ended:
            end_stored(row.session_hash for row in ended)
            SignIn.objects.filter(pk__in=[row.pk for row in ended]).delete()
            change.note("signed out", user, {"sessions": [len(ended), 0]})
    return len(ended)


def _seen(request: HttpRequest) -> dict[str, str]:
    agent = request.headers.get("user-agent", "")
    return {"address": client_address(request), "user_agent": agent.replace("\x00", "")[:300]}


def _forget_old(user: User, now: datetime) -> None:
    """Those whose sessions have expired by themselves."""
    user.sign_ins.filter(last_seen__lt=now - timedelta(seconds=settings.SESSION_COOKIE_AGE)).delete()
