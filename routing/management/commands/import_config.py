"""Applies a declarative configuration file."""

import os
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from accounting.management.base import GatewayCommand
from routing.declarative import ConfigRefused, Imported, import_config
from routing.declarative.document import MOST_BYTES


class Command(GatewayCommand):
    help = (
        "Applies a declarative configuration file: all of it or, if anything in it is wrong, nothing. Keys that are made "
        "without a secret in the file are printed once, as `team/project/name secret`."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", help="the file; - reads standard input")
        parser.add_argument("--dry-run", action="store_true", help="print what would change, and change nothing")
        parser.add_argument("--prune", action="store_true", help="disable what the file does not mention")

        parser.add_argument("--reason", default="", help="why, for the list of versions")

    def handle(self, *args: Any, **options: Any) -> None:
        data = _read(options["file"])
        kept = {name: options[name] for name in ("prune", "dry_run", "reason")}
        try:
            result = import_config(data, environ=os.environ, **kept)
        except ConfigRefused as refused:
            count = len(refused.problems)
            raise CommandError(
                f"refused, nothing was changed ({count} problem{'s'[: count > 1]}):\n{refused}"
            ) from None
        self._tell(result, dry_run=options["dry_run"])

    def _tell(self, result: Imported, *, dry_run: bool) -> None:
        """Standard output is for what a program reads: new secrets, or with --dry-run the difference."""
        lines = result.lines or ("nothing to change",)
        for line in lines:
            (self.stdout if dry_run else self.stderr).write(line)
        for note in result.notes:
            self.stderr.write(f"note: {note}")
        if dry_run:
            return
        for key in result.keys:
            self.stdout.write(f"{key.team}/{key.project}/{key.name} {key.secret.reveal()}")


def _read(name: str) -> bytes:
    """At most one byte more than a file may have; the rest of a larger one need not be read to refuse it."""
    if name == "-":
        return sys.stdin.buffer.read(MOST_BYTES + 1)
    try:
        with Path(name).open("rb") as file:
            return file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        raise CommandError(f"cannot read {name}: {getattr(error, 'strerror', None) or error}") from None
