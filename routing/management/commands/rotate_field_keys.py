"""`manage.py rotate_field_keys`: encrypts everything that is encrypted at rest with the newest key."""

from typing import Any

from django.apps import apps
from django.core.management.base import CommandError
from django.db import models

from accounting.audit.changes import Actor, ChangeSet, changing
from accounting.management.base import GatewayCommand
from gateway_project.crypto import EncryptedJSONField, UnreadableSecret
from routing.models import SealedSecret
from routing.versions.keeping import rotate_sealed


class Command(GatewayCommand):
    help = "Encrypts stored credentials again, with the first key of GATEWAY_FIELD_KEYS; all of them, or none."

    def handle(self, *args: Any, **options: Any) -> None:
        count = sealed = 0
        with changing(Actor("rotate_field_keys", "command")) as change:
            for model in apps.get_models():
                for field in model._meta.concrete_fields:
                    if isinstance(field, EncryptedJSONField) and model is not SealedSecret:
                        count += _rotate(change, model, field.attname)
            sealed = rotate_sealed()
        self.stdout.write(f"{count} encrypted with the newest key")
        if sealed:
            self.stdout.write(f"and {sealed} of earlier versions")


def _rotate(change: ChangeSet, model: type[models.Model], name: str) -> int:
    """How many rows were written. Written past `ChangeSet.save`, which sees no difference: the values stay the same."""
    count = 0
    for row in model._base_manager.select_for_update().defer(name).order_by("pk"):
        try:
            values = getattr(row, name)
        except UnreadableSecret as error:
            raise CommandError(f"{row}: {error}; nothing was changed") from None
        if not values:
            continue
        model._base_manager.filter(pk=row.pk).update(**{name: values})
        change.note("encrypted again", row)
        count += 1
    return count
