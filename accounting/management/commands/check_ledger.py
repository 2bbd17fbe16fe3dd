"""Proves that roll-ups, ledger and records agree."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from accounting.management.base import GatewayCommand
from accounting.management.moments import a_moment
from accounting.money.agreement import differences


class Command(GatewayCommand):
    help = "Proves that roll-ups, ledger and records agree; exit status 1 and the first differences if they do not."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--since", type=a_moment, help="ISO 8601, UTC without a zone; by default everything")

    def handle(self, *args: Any, **options: Any) -> None:
        found = differences(options["since"])
        for difference in found:
            self.stdout.write(str(difference))
        if found:
            raise CommandError("Roll-ups, ledger and records do not agree; the first differences are listed.")
        self.stdout.write("roll-ups, ledger and records agree")
