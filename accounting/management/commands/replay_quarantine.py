"""Lists what could not be stored, and tries again."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from accounting.management.base import GatewayCommand
from accounting.money.quarantine import Kept, listing, replay
from accounting.money.replay import Quarantine
from accounting.money.store import store_records

MOST_LISTED = 1000


class Command(GatewayCommand):
    help = "Stores the records that were put into quarantine; exit status 1 if some still cannot be stored."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--list", action="store_true", help="only show what is there")

    def handle(self, *args: Any, **options: Any) -> None:
        quarantine = Quarantine(settings.GATEWAY_DATA_DIR / "spool")
        if options["list"]:
            found = listing(quarantine, MOST_LISTED)
            self._tell(found)
            self.stdout.write(f"{len(found)} in quarantine" + (" at least" if len(found) == MOST_LISTED else ""))
            return
        done = replay(quarantine, store_records)
        self._tell(done.kept[:MOST_LISTED])
        self.stdout.write(f"{done.stored} stored, {len(done.kept)} still in quarantine")
        if done.kept:
            raise CommandError("Some records cannot be stored; they stay in quarantine.")

    def _tell(self, found: Any) -> None:
        for each in found:
            assert isinstance(each, Kept)
            self.stdout.write(
                f"{each.request_id} {each.team}" if each.request_id else f"unreadable: {each.beginning!r}"
            )
