"""The rows of ownership: durable, written in threads of their own with connections of their own. Sync; never on the loop.

Every function raises `django.db.Error` while the database is away. Each write moves the revision in its transaction, so
that other processes see it within a second, in the order of the numbers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from accounting.models import Revision
from routing.models import OWNERSHIP, KeptUpstream
from routing.proxy.passthrough.owners import MOST, Owned, Owners

_COLUMNS = (
    "id",
    "kind",
    "upstream_id",
    "provider",
    "team",
    "project",
    "key",
    "key_prefix",
    "user",
    "aliases",
    "state",
    "priced_at",
)


@dataclass(frozen=True, slots=True)
class Claim:
    """Who is about to have something kept where: what the row says before the provider is asked."""

    kind: str
    provider: str
    team: str
    project: str
    key: str
    key_prefix: str
    user: str
    aliases: Mapping[str, str]


def owned_by(claim: Claim, row: int, id_: str) -> Owned:
    """The thing that a claim has become."""
    return Owned(
        row=row,
        kind=claim.kind,
        id=id_,
        provider=claim.provider,
        team=claim.team,
        project=claim.project,
        key=claim.key,
        key_prefix=claim.key_prefix,
        user=claim.user,
        aliases=claim.aliases,
    )


def begin(claim: Claim) -> int:
    """Writes the row of what is about to be asked for; its id."""
    row = KeptUpstream(
        kind=claim.kind,
        provider=claim.provider,
        team=claim.team,
        project=claim.project,
        key=claim.key,
        key_prefix=claim.key_prefix,
        user=claim.user,
        aliases=dict(claim.aliases),
    )
    row.save(force_insert=True)
    return row.pk


def forget(row: int) -> None:
    """The provider has refused: there is nothing to own."""
    KeptUpstream.objects.filter(pk=row, upstream_id=None).delete()


def name(row: int, id_: str) -> None:
    """The provider has answered: the thing has an id. Raises IntegrityError if it is owned already."""
    _change(row, upstream_id=id_, state=KeptUpstream.State.KEPT)


def end(row: int) -> None:
    """A batch was seen to have ended."""
    with transaction.atomic():
        kept = KeptUpstream.objects.filter(pk=row, state=KeptUpstream.State.KEPT)
        kept.update(number=_moved(), state=KeptUpstream.State.ENDED)


def delete(row: int) -> None:
    _change(row, state=KeptUpstream.State.DELETED)


def price(row: int) -> bool:
    """The usage of a batch is on record; whether it was this call that said so first."""
    with transaction.atomic():
        number = _moved()
        unpriced = KeptUpstream.objects.filter(pk=row, priced_at=None)
        return bool(unpriced.update(priced_at=timezone.now(), number=number))


def is_priced(row: int) -> bool:
    """Whether some process has put the usage of a batch on record."""
    return KeptUpstream.objects.filter(pk=row).exclude(priced_at=None).exists()


def find(kind: str, id_: str) -> Owned | None:
    """One that the memory does not hold, because it is old."""
    rows = KeptUpstream.objects.filter(kind=kind, upstream_id=id_).exclude(state=KeptUpstream.State.DELETED)
    values = rows.values_list(*_COLUMNS).first()
    return None if values is None else _owned(values)


def refresh(owners: Owners) -> None:
    """Brings the memory up to date: what has changed since the last time, or at first the newest of all."""
    number = Revision.objects.filter(name=OWNERSHIP).values_list("number", flat=True).first() or 0
    rows = KeptUpstream.objects.exclude(upstream_id=None).order_by("-pk").values_list(*_COLUMNS)
    alive = rows.exclude(state=KeptUpstream.State.DELETED)
    found = list((rows.filter(number__gt=owners.revision) if owners.revision else alive)[: MOST + 1])
    gone = {values[0] for values in found if values[10] == KeptUpstream.State.DELETED}
    for kind in KeptUpstream.Kind.values:
        owners.remove(kind, [values[2] for values in found if values[0] in gone and values[1] == kind])
    owners.put([_owned(values) for values in reversed(found) if values[0] not in gone])
    owners.revision = number


def _owned(values: Sequence[Any]) -> Owned:
    row, kind, id_, provider, team, project, key, prefix, user, aliases, state, priced_at = values
    ended = state == KeptUpstream.State.ENDED
    return Owned(
        row, kind, id_, provider, team, project, key, prefix, user, aliases, ended=ended, priced=priced_at is not None
    )


def _change(row: int, **values: object) -> None:
    with transaction.atomic():
        KeptUpstream.objects.filter(pk=row).update(number=_moved(), **values)


def _moved() -> int:
    """The next number. Its row stays locked until the transaction ends: numbers are seen in order, none is missed."""
    rows = Revision.objects.filter(name=OWNERSHIP)
    if not rows.update(number=F("number") + 1):
        Revision.objects.get_or_create(name=OWNERSHIP)
        rows.update(number=F("number") + 1)
    return rows.values_list("number", flat=True).get()
