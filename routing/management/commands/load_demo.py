"""`manage.py load_demo`: a made-up organization with a day of requests, in an empty installation."""

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from accounting.management.base import GatewayCommand
from routing.demo import load_demo
from routing.quickstart import is_empty


class Command(GatewayCommand):
    help = "Fills an empty installation with made-up teams, keys and requests."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--address", default="http://127.0.0.1:8000", help="where the development server will be")
        parser.add_argument("--again", action="store_true", help="say nothing if the installation is not empty")

    def handle(self, *args: Any, **options: Any) -> None:
        if is_empty():
            secret = load_demo(options["address"], timezone.now())
            self.stdout.write(f"The demo is loaded. A key to try: {secret.reveal()}")
        elif not options["again"]:
            raise CommandError("This installation is not empty; the demo is loaded into an empty one only.")
