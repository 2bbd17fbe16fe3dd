"""`manage.py runserver`: the development server, with the simulated provider and, on request, the quick start."""

import asyncio
from argparse import ArgumentParser
from typing import Any

from daphne.endpoints import build_endpoint_description_strings
from daphne.management.commands.runserver import Command as DaphneCommand
from daphne.management.commands.runserver import get_default_application
from daphne.server import Server
from django.conf import settings
from django.core.management.base import CommandError
from twisted.internet import defer

from accounting.management.base import require_migrated
from gateway_project.telemetry import logger
from routing import quickstart
from routing.declarative import ConfigRefused
from routing.serving import CannotListen, bind

log = logger(__name__)


class Brake:
    """What Twisted tells when a client's buffer is full, and when it is empty again (a push producer, in its words)."""

    def __init__(self) -> None:
        self.released = asyncio.Event()
        self.released.set()

    def pauseProducing(self) -> None:  # noqa: N802 - Twisted's names
        self.released.clear()

    def resumeProducing(self) -> None:  # noqa: N802
        self.released.set()

    stopProducing = resumeProducing  # noqa: N815


class RuntimeServer(Server):  # type: ignore[misc]
    """Daphne, which also starts the gateway's background work before it says welcome, and ends it with the server.

    An application waits here while its client does not read. Daphne itself would keep everything in memory: 375 MB for a
    reader that stalled at 300 MB.
    """

    welcome = ""
    failed = False

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._brakes: dict[Any, Brake] = {}

    async def handle_reply(self, protocol: Any, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start" and protocol.channel is not None:
            brake = self._brakes[protocol] = Brake()
            protocol.registerProducer(brake, streaming=True)
        if message["type"] != "http.response.body" or protocol not in self._brakes:
            await super().handle_reply(protocol, message)
            return
        if not message.get("more_body", False):
            self._release(protocol)
        await super().handle_reply(protocol, message)
        waiting = self._brakes.get(protocol)
        if waiting is not None:
            await waiting.released.wait()

    def protocol_disconnected(self, protocol: Any) -> None:
        self._release(protocol)
        super().protocol_disconnected(protocol)

    def _release(self, protocol: Any) -> None:
        brake = self._brakes.pop(protocol, None)
        if brake is not None:
            brake.released.set()
            if protocol.channel is not None:
                protocol.unregisterProducer()

    def run(self) -> None:
        from twisted.internet import reactor  # daphne.server has chosen which one

        reactor.callWhenRunning(self._begin)
        reactor.addSystemEventTrigger("during", "shutdown", self._end)  # type: ignore[arg-type]
        super().run()

    def _begin(self) -> None:
        from routing.proxy.runtime import get_runtime

        asyncio.ensure_future(get_runtime().start()).add_done_callback(self._begun)

    def _begun(self, starting: "asyncio.Future[None]") -> None:
        if error := starting.exception():
            log.error("the gateway cannot start", exc_info=error)
            self.failed = True
            self.stop()
        else:
            print(self.welcome, flush=True)

    def _end(self) -> Any:
        from routing.proxy.runtime import get_runtime

        return defer.Deferred.fromFuture(asyncio.ensure_future(get_runtime().stop()))


class Command(DaphneCommand):  # type: ignore[misc]
    server_cls = RuntimeServer

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--quickstart",
            action="store_true",
            help="load the quick-start configuration into an empty installation, and show how to try it",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["quickstart"]:
            options["use_reloader"] = False  # one process: what is made and shown, is made and shown once
        super().handle(*args, **options)

    def run(self, **options: Any) -> None:
        """Looks at what would keep the server from starting, while one line on the terminal can still say so."""
        require_migrated()
        try:
            bind(self.addr, int(self.port)).close()
        except CannotListen as error:
            raise CommandError(f"{error}. Choose another one: make run PORT={int(self.port) + 1}") from error
        super().run(**options)

    def inner_run(self, *args: Any, **options: Any) -> None:
        """One server, from start to end; under the auto-reloader, in its child."""
        settings.GATEWAY_SIMULATOR = True
        self.check(display_num_errors=False)
        address = quickstart.address_of(self.addr, int(self.port))
        server = self.server_cls(
            application=get_default_application(),
            endpoints=build_endpoint_description_strings(host=self.addr, port=self.port),
            signal_handlers=not options["use_reloader"],
            action_logger=self.log_action,
            http_timeout=self.http_timeout,
            websocket_handshake_timeout=self.websocket_handshake_timeout,
            websocket_max_message_size=self.websocket_max_message_size,
            websocket_max_frame_size=self.websocket_max_frame_size,
        )
        try:
            server.welcome = quickstart.prepare(address, load=options["quickstart"])
        except ConfigRefused as error:
            raise CommandError(f"the quick start was refused: {error}") from error
        try:
            server.run()
        except KeyboardInterrupt:
            return
        if server.failed:
            raise CommandError("the gateway could not start; the lines above say why")
