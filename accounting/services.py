"""Writes of accounting: keys, tokens, people, the first administrator. Every one goes through a ChangeSet.

A refused value is a ValidationError with a sentence; nothing here ever puts a secret into a message.
"""

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db.models import Q
from django.utils import timezone

from accounting.access.secrets import KEY_MARK, LEAST_IMPORTED_LENGTH, TOKEN_MARK, new_secret, prefix_of
from accounting.audit.changes import Actor, ChangeSet, changing
from accounting.models import ApiToken, OneTimeLink, Project, Team, User, VirtualKey
from gateway_project.crypto import Secret, keyed_hash

FIRST_ADMIN_LIFETIME = timedelta(hours=24)


class UnknownKey(Exception):
    """No key has this prefix, or is this key."""


class AmbiguousPrefix(Exception):
    """More than one key in use has this prefix."""


class LinkRefused(Exception):
    """A one-time link that was used, replaced, has expired, never existed, or is no longer needed."""


def create_key(
    change: ChangeSet,
    project: Project,
    name: str,
    *,
    kind: str = VirtualKey.Kind.SERVICE,
    owner: User | None = None,
    expires_at: datetime | None = None,
    allowed_models: Sequence[str] | None = None,
    allowed_ips: Sequence[str] = (),
    tags: Mapping[str, str] | None = None,
    secret: str | None = None,
    enabled: bool = True,
) -> tuple[VirtualKey, Secret]:
    """A new key of `project` with its secret, which is never to be had again. `secret` imports one made elsewhere."""
    key = VirtualKey(
        project=project,
        name=name,
        kind=kind,
        owner=owner,
        expires_at=expires_at,
        allowed_models=["*"] if allowed_models is None else list(allowed_models),
        allowed_ips=list(allowed_ips),
        tags=dict(tags or {}),
        enabled=enabled,
    )
    fresh = _give_secret(key, secret)
    change.save(key)
    return key, fresh


def rotate_key(
    change: ChangeSet,
    key: VirtualKey,
    *,
    secret: str | None = None,
    overlap: timedelta | None = None,
    expected_version: int | None = None,
) -> Secret:
    """Gives an existing key a new secret (or the imported one). The old one stops, after `overlap` if there is one; one that
    is older still stops at once."""
    now = timezone.now()
    old_prefix, old_hash = key.prefix, key.secret_hash
    fresh = _give_secret(key, secret)
    stays = bool(overlap) and key.secret_hash != old_hash
    key.rotated_at, key.old_prefix, key.old_until = now, old_prefix, now + (overlap or timedelta(0))
    key.old_secret_hash = old_hash if stays else ""
    change.save(key, action="rotated", expected_version=expected_version)
    return fresh


def has_secret(key: VirtualKey, secret: str) -> bool:
    """Whether `secret` is this key's."""
    return secrets.compare_digest(key.secret_hash, keyed_hash(secret))


def revoke_key(change: ChangeSet, prefix_or_whole_key: str) -> VirtualKey:
    """Ends a key for good; one that is revoked already stays as it is. Raises UnknownKey and AmbiguousPrefix."""
    key = _find_key(prefix_or_whole_key.strip())
    if key.revoked_at is None:
        key.revoked_at = timezone.now()
        change.save(key, action="revoked")
    return key


def create_api_token(
    change: ChangeSet,
    name: str,
    *,
    role: str,
    team: Team | None = None,
    team_role: str = "",
    expires_at: datetime | None = None,
) -> tuple[ApiToken, Secret]:
    """A token of the REST API with its secret, which is never to be had again."""
    text = new_secret(TOKEN_MARK)
    token = ApiToken(name=name, role=role, team=team, team_role=team_role, expires_at=expires_at)
    token.prefix, token.secret_hash = prefix_of(text, TOKEN_MARK), keyed_hash(text)
    change.save(token)
    return token, Secret(text)


def rotate_api_token(change: ChangeSet, token: ApiToken) -> Secret:
    """Gives an existing token a new secret; the old one stops."""
    text = new_secret(TOKEN_MARK)
    token.prefix, token.secret_hash = prefix_of(text, TOKEN_MARK), keyed_hash(text)
    change.save(token, action="rotated")
    return Secret(text)


def revoke_api_token(change: ChangeSet, token: ApiToken) -> None:
    if token.revoked_at is None:
        token.revoked_at = timezone.now()
        change.save(token, action="revoked")


def person(change: ChangeSet, email: str) -> User:
    """The user with this address, made without a password if there is none yet."""
    address = email.strip().lower()
    known = User.objects.filter(email=address).first()
    return known or create_user(change, address)


def create_user(change: ChangeSet, email: str, password: str | None = None) -> User:
    """A new person. Without a password they can be named as owner and member, and cannot sign in with one."""
    user = User(email=email.strip().lower())
    set_password(user, password)
    change.save(user)
    return user


def create_admin(change: ChangeSet, email: str, password: str | None = None) -> User:
    """An administrator: a new person, or a known one who becomes one (and keeps their password if none is given)."""
    address = email.strip().lower()
    user = User.objects.filter(email=address).first() or User(email=address)
    user.is_staff = user.is_superuser = user.is_active = True
    if password is not None or user._state.adding:
        set_password(user, password)
    change.save(user)
    return user


def first_admin_link() -> str | None:
    """The token of a link, good for a day, that makes the first administrator; None when there is one already.

    A new link replaces those that are still open.
    """
    with changing(Actor("first start", "system")) as change:
        if User.objects.filter(is_superuser=True).exists():
            return None
        OneTimeLink.objects.filter(purpose=OneTimeLink.Purpose.FIRST_ADMIN, used_at=None).delete()
        token = secrets.token_urlsafe(32)
        link = OneTimeLink(purpose=OneTimeLink.Purpose.FIRST_ADMIN, token_hash=keyed_hash(token))
        link.expires_at = timezone.now() + FIRST_ADMIN_LIFETIME
        change.save(link)
        return token


def is_open_first_admin_link(token: str) -> bool:
    """Whether `redeem_first_admin` would take this token now."""
    links = OneTimeLink.objects.filter(token_hash=keyed_hash(token), purpose=OneTimeLink.Purpose.FIRST_ADMIN)
    open_now = links.filter(used_at=None, expires_at__gt=timezone.now()).exists()
    return open_now and not User.objects.filter(is_superuser=True).exists()


def redeem_first_admin(token: str, email: str, password: str, *, source: str = "") -> User:
    """Makes the first administrator, once. Raises LinkRefused, or ValidationError, after which the link still works."""
    with changing(Actor(email.strip().lower(), "user", source)) as change:
        links = OneTimeLink.objects.filter(purpose=OneTimeLink.Purpose.FIRST_ADMIN, used_at=None)
        # All open links are locked: of two people who redeem at once, with one link or two, the later finds none open.
        found = [link for link in links.select_for_update().order_by("id") if link.token_hash == keyed_hash(token)]
        now = timezone.now()
        if not found or found[0].expires_at <= now or User.objects.filter(is_superuser=True).exists():
            raise LinkRefused(
                "This link was used, replaced or has expired; start the development server again for a new one."
            )
        links.update(used_at=now)
        return create_admin(change, email, password)


def set_password(user: User, password: str | None) -> None:
    """Gives a person a password that passes the rules, or none. The caller saves."""
    if password is None:
        user.set_unusable_password()
        return
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise ValidationError({"password": error.messages}) from None
    user.set_password(password)


def _give_secret(key: VirtualKey, imported: str | None) -> Secret:
    if imported is not None:
        _check_imported(key, imported)
    text = new_secret(KEY_MARK) if imported is None else imported
    key.prefix, key.secret_hash = prefix_of(text), keyed_hash(text)
    return Secret(text)


def _check_imported(key: VirtualKey, secret: str) -> None:
    if len(secret) < LEAST_IMPORTED_LENGTH:
        raise ValidationError({"secret": f"An imported secret needs at least {LEAST_IMPORTED_LENGTH} characters."})
    if not all("!" <= char <= "~" for char in secret):
        raise ValidationError({"secret": "An imported secret has printable ASCII characters only, and no spaces."})
    if VirtualKey.objects.filter(_of_secret(secret)).exclude(pk=key.pk).exists():
        raise ValidationError({"secret": "Another key has this secret already; every key needs its own."})


def _of_secret(text: str) -> Q:
    """The key whose secret this is, or was before its latest rotation."""
    return Q(secret_hash=keyed_hash(text)) | Q(old_secret_hash=keyed_hash(text))


def _find_key(text: str) -> VirtualKey:
    whole = VirtualKey.objects.filter(_of_secret(text)).first()
    if whole is not None:
        return whole
    keys = list(VirtualKey.objects.filter(Q(prefix=text) | Q(old_prefix=text)).order_by("id")[:100]) if text else []
    in_use = [key for key in keys if key.revoked_at is None]
    if len(in_use) > 1 or (not in_use and len(keys) > 1):
        raise AmbiguousPrefix(f"{len(in_use or keys)} keys have the prefix {text}; give the whole key instead.")
    if not keys:
        raise UnknownKey(
            f"No key begins with {text[:11]!r}. Give the prefix as the console shows it, or the whole key."
        )
    return (in_use or keys)[0]
