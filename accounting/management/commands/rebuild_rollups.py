"""Computes roll-ups again from records and ledger."""

from argparse import ArgumentParser
from typing import Any

from accounting.management.base import GatewayCommand
from accounting.management.moments import a_moment
from accounting.money.rebuild import rebuild


class Command(GatewayCommand):
    help = "Computes the hourly, daily and monthly sums of usage again, from records and ledger; traffic may go on."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--since", type=a_moment, help="ISO 8601, UTC without a zone; by default the oldest record")
        parser.add_argument("--until", type=a_moment, help="the end; by default now")

    def handle(self, *args: Any, **options: Any) -> None:
        done = rebuild(options["since"], options["until"])
        self.stdout.write(f"computed again: {done.hours} hours, {done.days} days, {done.months} months")
