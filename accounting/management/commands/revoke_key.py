"""Ends a virtual key for good."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from accounting.audit.changes import Actor, changing
from accounting.management.base import GatewayCommand
from accounting.services import AmbiguousPrefix, UnknownKey, revoke_key


class Command(GatewayCommand):
    help = "Ends a virtual key for good, on every process within a second."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("prefix", help="the prefix as the console shows it, or the whole key")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with changing(Actor("revoke_key", "command")) as change:
                key = revoke_key(change, options["prefix"])
        except (UnknownKey, AmbiguousPrefix) as error:
            raise CommandError(str(error)) from None
        self.stderr.write(f"revoked {key.project.team.name}/{key.project.name}/{key.name} ({key.prefix})")
