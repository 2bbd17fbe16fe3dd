"""Writes the configuration as a file that `import_config` reads."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.db import transaction

from accounting.management.base import GatewayCommand
from routing.declarative import export_config


class Command(GatewayCommand):
    help = "Writes the configuration as a file that import_config reads; secrets are written as ${NAME} references."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--output", help="the file to write; standard output if left out")

    def handle(self, *args: Any, **options: Any) -> None:
        with transaction.atomic():
            exported = export_config()
        if options["output"]:
            try:
                Path(options["output"]).write_text(exported.text, encoding="utf-8")
            except (OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or error
                raise CommandError(f"cannot write {options['output']}: {reason}") from None
        else:
            self.stdout.write(exported.text, ending="")
        for note in exported.notes:
            self.stderr.write(f"note: {note}")
        for name, what in exported.variables.items():
            self.stderr.write(f"needs {name}: {what}")
