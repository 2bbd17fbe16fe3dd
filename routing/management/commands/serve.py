"""`manage.py serve`: the production server."""

import asyncio
import os
import socket
import sys
from argparse import SUPPRESS
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError, connections

from accounting.management.base import require_migrated
from routing.serving import CannotListen, Limits, Process, bind, run_process
from routing.supervisor import Supervisor

SEVERAL_NEED_REDIS = (
    "several workers need REDIS_URL: without it each process would count limits by itself, and they would not hold. "
    "Set REDIS_URL, or serve with one worker."
)


class Command(BaseCommand):
    help = "Serves the gateway, the REST API and the pages: the production server."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
        parser.add_argument("--port", type=int, default=settings.GATEWAY_PORT, help="default: GATEWAY_PORT, or 8000")
        parser.add_argument(
            "--workers", type=int, default=settings.GATEWAY_WORKERS, help="processes (default: GATEWAY_WORKERS, or one)"
        )
        parser.add_argument("--migrate", action="store_true", help="migrate the database first")
        parser.add_argument("--listen-fd", type=int, help=SUPPRESS)
        parser.add_argument("--link-fd", type=int, help=SUPPRESS)

    def handle(self, *args: Any, **options: Any) -> None:
        if not 1 <= options["workers"] <= 256:
            raise CommandError("--workers: a number from 1 to 256 is needed")
        if options["workers"] > 1 and not settings.REDIS_URL:
            raise CommandError(SEVERAL_NEED_REDIS)
        if options["migrate"]:
            _migrate()
        require_migrated()
        connections.close_all()  # a server process opens its own when it has a thread for it
        settings.GATEWAY_WORKERS = options["workers"]  # however it was given: a process's share of limits goes by it
        if options["listen_fd"] is not None:
            link = socket.socket(fileno=options["link_fd"])
            self._serve(socket.socket(fileno=options["listen_fd"]), link)
            return
        try:
            listener = bind(options["host"], options["port"])
        except CannotListen as error:
            raise CommandError(str(error)) from error
        if options["workers"] == 1:
            self._serve(listener, None)
        else:
            self._supervise(listener, options["workers"])

    def _serve(self, listener: socket.socket, link: socket.socket | None) -> None:
        from gateway_project.asgi import application, metrics  # loads the whole gateway; the supervisor does without
        from routing.proxy.runtime import get_runtime

        if link is not None:
            metrics.join(settings.GATEWAY_DATA_DIR / "workers")
        process = Process(listener, link, settings.GATEWAY_DRAIN_SECONDS, limits(), metrics.publish)
        run_process(application, get_runtime, process)
        metrics.leave()

    def _supervise(self, listener: socket.socket, workers: int) -> None:
        listener.set_inheritable(True)
        command = [sys.executable, os.path.abspath(sys.argv[0]), "serve", "--workers", str(workers)]
        supervisor = Supervisor(command, workers, listener, settings.GATEWAY_DRAIN_SECONDS)
        status = asyncio.run(supervisor.run())
        if status:
            raise CommandError("no worker could start; the lines above say why", returncode=status)


def limits() -> Limits:
    return Limits(
        connections=settings.GATEWAY_MAX_CONNECTIONS,
        head_bytes=settings.GATEWAY_MAX_HEAD_BYTES,
        headers=settings.GATEWAY_MAX_HEADERS,
        head_seconds=settings.GATEWAY_HEAD_SECONDS,
        body_seconds=settings.GATEWAY_BODY_SECONDS,
        send_seconds=settings.GATEWAY_SEND_SECONDS,
        keep_alive_seconds=settings.GATEWAY_KEEP_ALIVE_SECONDS,
    )


def _migrate() -> None:
    try:
        call_command("migrate", verbosity=0, interactive=False)
    except OperationalError as error:
        reason = str(error).strip().partition("\n")[0]
        raise CommandError(f"The database cannot be used: {reason}") from error
