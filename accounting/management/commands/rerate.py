"""Puts the prices that are in the book now to a period that is over."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone
from django.utils.module_loading import import_string

from accounting.audit.changes import Actor
from accounting.management.base import GatewayCommand
from accounting.management.moments import a_moment
from accounting.money.repricing import by_book
from accounting.money.rerate import Change, Reprice, Scope, compare, rerate

BOOK = "accounting.money.price_store.load_price_book"


class Command(GatewayCommand):
    help = "Shows what today's prices come to for a period; with --apply, adds the differences to the ledger."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--since", type=a_moment, required=True, help="ISO 8601; UTC without a zone")
        parser.add_argument("--until", type=a_moment, required=True, help="the end, not included")
        parser.add_argument("--provider", default="", help="only lines of this provider")
        parser.add_argument("--model", default="", help="only lines of this model, by the provider's name for it")
        parser.add_argument("--reason", default="", help="why; it stands on every adjustment")
        parser.add_argument("--apply", action="store_true", help="add the adjustments")

    def handle(self, *args: Any, **options: Any) -> None:
        scope = Scope(options["since"], options["until"], options["provider"], options["model"])
        if scope.since >= scope.until:
            raise CommandError("--until must be later than --since.")
        if options["apply"] and not options["reason"]:
            raise CommandError("Say why: --reason.")
        if not options["apply"]:
            self._tell(compare(scope, _reprice()))
            self.stdout.write("nothing was changed; --apply adds these differences to the ledger")
            return
        actor = Actor("rerate", "command")
        run, changes = rerate(actor, scope, _reprice(), reason=options["reason"], now=timezone.now())
        self._tell(changes)
        self.stdout.write(f"{run.lines} adjustments were added to the ledger")

    def _tell(self, changes: list[Change]) -> None:
        row = "{:24} {:40} {:>10} {:>20} {:>20} {:>20}"
        self.stdout.write(row.format("team", "model", "lines", "before", "after", "difference"))
        for each in changes:
            sums = (f"{value:.12f}" for value in (each.before, each.after, each.difference))
            self.stdout.write(row.format(each.team or "-", each.model, each.lines, *sums))
        total = sum(each.difference for each in changes)
        self.stdout.write(f"difference in all: {total:.12f} dollars on {sum(each.lines for each in changes)} lines")


def _reprice() -> Reprice:
    try:
        book = import_string(BOOK)()
    except ImportError:
        raise CommandError("This installation has no book of prices.") from None
    return by_book(book)
