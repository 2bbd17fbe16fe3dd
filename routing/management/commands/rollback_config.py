"""`manage.py rollback_config`: makes the routing configuration what it was in an earlier version."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from accounting.audit.changes import Actor, changing
from accounting.management.base import GatewayCommand
from routing.versions.rollback import plan_rollback, roll_back
from routing.versions.wording import lines

ACTOR = Actor("rollback_config", "command")


class Command(GatewayCommand):
    help = (
        "Makes the routing configuration what it was in version NUMBER: all of it or nothing, as a new version. Providers "
        "that exist keep their credentials."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("number", type=int, help="the version, as config_versions lists it")
        parser.add_argument("--reason", default="", help="why, for the list of versions")
        parser.add_argument("--dry-run", action="store_true", help="print what would change, and change nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        number = options["number"]
        plan = plan_rollback(number)
        for note in plan.notes:
            self.stderr.write(f"note: {note}")
        if plan.problems:
            raise CommandError("\n".join(plan.problems))
        for line in lines(plan.changes) or ["nothing to change"]:
            self.stdout.write(line)
        if options["dry_run"] or not plan.edits:
            return
        with changing(ACTOR) as change:
            roll_back(change, number, plan.seen, options["reason"])
