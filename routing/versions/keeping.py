"""Writes a version with every change of the routing configuration, in its transaction, whichever door it came through."""

from django.db import IntegrityError, transaction
from django.utils import timezone

from accounting.audit.changes import Actor, ChangeSet, follow
from accounting.models import Revision
from gateway_project.crypto import UnreadableSecret
from routing.models import ConfigPicture, ConfigVersion, SealedSecret
from routing.models.versions import LONGEST_REASON
from routing.versions.difference import Change, of_events, stored
from routing.versions.picture import Picture, Taken, compress, decode, digest, encode, take_picture

FOUND = Actor("gateway", "system")


def start() -> None:
    """From now on every transaction that changes routing leaves a version."""
    follow(Revision.ROUTING, "versions", _keep)


def _keep(change: ChangeSet) -> None:
    _write(change.actor, change.reason, of_events(change.events.get(Revision.ROUTING, [])))


def _write(actor: Actor, reason: str, changes: list[Change]) -> ConfigVersion:
    kept, more = stored(changes)
    return ConfigVersion.objects.create(
        number=current_number(),
        at=timezone.now(),
        actor=actor.name[:254],
        actor_kind=actor.kind,
        source=actor.source[:100],
        reason=reason[:LONGEST_REASON],
        changes=kept,
        more_changes=more,
        picture=store_picture(take_picture()),
    )


def current_number(*, lock: bool = False) -> int:
    """The routing revision. Locked, nothing of routing is committed until the transaction ends; rows that are to be
    changed are locked before it, never after, as everywhere."""
    rows = Revision.objects.filter(name=Revision.ROUTING)
    row = (rows.select_for_update() if lock else rows).first()
    return row.number if row else 0


def current_version() -> ConfigVersion:
    """The version in force. What no version tells of yet (an installation from before there were any) becomes one."""
    known = ConfigVersion.objects.filter(number=current_number()).first()
    if known is not None:
        return known
    with transaction.atomic():
        Revision.objects.get_or_create(name=Revision.ROUTING)
        number = current_number(lock=True)
        version = ConfigVersion.objects.filter(number=number).first()
        return version or _write(FOUND, "as it was found", [])


def picture_of(version: ConfigVersion) -> Picture:
    return decode(bytes(version.picture.data))


def store_picture(taken: Taken) -> ConfigPicture:
    """The row of a picture, the one that is there for an equal one, with the secrets it needs."""
    encoded = encode(taken.picture)
    known = ConfigPicture.objects.filter(digest=digest(encoded)).first()
    picture = known or _new(ConfigPicture(digest=digest(encoded), data=compress(encoded)))
    kept = set(SealedSecret.objects.filter(fingerprint__in=taken.secrets).values_list("fingerprint", flat=True))
    for fingerprint in sorted(set(taken.secrets) - kept):
        _seal(fingerprint, dict(taken.secrets[fingerprint]))
    if known is None or set(taken.secrets) - kept:
        picture.secrets.add(*SealedSecret.objects.filter(fingerprint__in=taken.secrets).values_list("pk", flat=True))
    return picture


def _new(picture: ConfigPicture) -> ConfigPicture:
    try:
        with transaction.atomic():
            picture.save()
        return picture
    except IntegrityError:  # somebody else has just stored an equal one
        return ConfigPicture.objects.get(digest=picture.digest)


def _seal(fingerprint: str, values: dict[str, str]) -> None:
    try:
        with transaction.atomic():
            SealedSecret.objects.create(fingerprint=fingerprint, values=values)
    except IntegrityError:  # likewise
        pass


def drop_unused() -> None:
    """Deletes pictures that no version and no proposal has any more, and the secrets that only they had."""
    ConfigPicture.objects.filter(versions=None, proposals=None).delete()
    SealedSecret.objects.filter(pictures=None).delete()


def rotate_sealed() -> int:
    """Encrypts the secrets of earlier versions with the newest key; how many. One that no key opens is of no use any more:
    it is deleted, and its version can only be gone back to if the provider still exists."""
    count = 0
    for secret in SealedSecret.objects.select_for_update().defer("values").order_by("pk"):
        try:
            values = secret.values
        except UnreadableSecret:
            secret.delete()
            continue
        SealedSecret.objects.filter(pk=secret.pk).update(values=values)
        count += 1
    return count
