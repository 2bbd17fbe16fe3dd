"""The front door: gateway paths to the gateway's own consumer, everything else to Django's pages.

The gateway is mounted by Channels before Django, as a plain ASGI callable: no middleware, no view, no database on its way
(docs/decisions/0001). Measured, that costs a tenth of an async Django view's CPU.
"""

import ipaddress
import os
from typing import Any, cast

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway_project.settings")

from gateway_project.pages import django_pages

pages = django_pages()

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.conf import settings
from django.urls import re_path

from accounting.dashboard.live import TeamEvents, refused_without_database
from gateway_project.lifespan import Lifespan, live, ready
from gateway_project.metrics_page import MetricsPage
from routing.proxy.edge import Gateway
from routing.proxy.gauges import gauges
from routing.proxy.paths import OWN, is_own
from routing.proxy.runtime import get_runtime, started_runtime
from routing.simulator import simulator

gateway = Gateway(started_runtime)
metrics = MetricsPage(
    lambda: gauges(get_runtime()), allowed=[ipaddress.ip_network(text) for text in settings.GATEWAY_METRICS_ALLOW]
)
mount = cast(Any, re_path)  # Channels routes ASGI applications with what Django types for views


async def front(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """`/` belongs to two: clients warm up a connection with HEAD, people GET the dashboard."""
    await (gateway if scope["method"] == "HEAD" else pages)(scope, receive, send)


async def simulated(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The simulated provider, where the development server has switched it on."""
    await (simulator if settings.GATEWAY_SIMULATOR else pages)(scope, receive, send)


async def nowhere(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """A websocket at an address that has none."""
    await receive()
    await send({"type": "websocket.close"})


signed_in = AuthMiddlewareStack(TeamEvents.as_asgi())
team_events = AllowedHostsOriginValidator(refused_without_database(signed_in))  # and no pages of other sites

routes = ProtocolTypeRouter(
    {
        "http": URLRouter(
            [
                mount(OWN, gateway),
                mount(r"^$", front),
                mount(r"^healthz$", live),
                mount(r"^readyz$", ready(get_runtime)),
                mount(r"^metrics$", metrics),
                mount(r"^-/simulator(?:/|$)", simulated),
                mount(r"", pages),
            ]
        ),
        "websocket": URLRouter([mount(r"^ws/teams/(?P<team>[^/]{1,63})/$", team_events), mount(r"", nowhere)]),
        "lifespan": Lifespan(get_runtime),
    }
)


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Requests for the gateway go there at once; Channels' routers, which would lead them there as well, serve the rest."""
    own = scope["type"] == "http" and is_own(scope["path"])
    await (gateway if own else routes)(scope, receive, send)
