"""What is compared: nginx as a plain proxy, the yardstick, and the gateway in one or several set-ups.

All stand before the same two upstreams: nginx answering with a fixed message, and the streams of `bench.upstream`.
"""

import http.client
import json
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import yaml
from psycopg import sql

from bench.everything import with_everything
from bench.plan import Plan, Setup, models
from bench.processes import ROOT, NotMeasured, Running, free_port, start

KEY = "bench-key-0123456789abcdefghij"
ANSWER = {
    "id": "msg_01",
    "type": "message",
    "role": "assistant",
    "model": "bench",
    "content": [{"type": "text", "text": "An answer of a usual length. " * 20}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 500, "output_tokens": 120},
}


@dataclass(frozen=True, slots=True)
class Upstreams:
    messages: Running
    streams: Running


@dataclass(frozen=True, slots=True)
class Subject:
    """`port` takes whole answers, `stream_port` streams; `server` is what is measured. `start_seconds`: from the start of
    the process to its first answer."""

    name: str
    server: Running
    port: int
    stream_port: int
    start_seconds: float = 0.0
    idle_mib: float = 0.0


@dataclass(frozen=True, slots=True)
class Services:
    """Where databases may be made, and a Redis; empty where there is none."""

    postgres: str
    redis: str


def start_upstreams(folder: Path, core: int) -> Upstreams:
    port = free_port()
    answer = json.dumps(ANSWER).replace("'", "")
    listening = (
        f"server {{ listen 127.0.0.1:{port}; location / {{ default_type application/json; return 200 '{answer}'; }} }}"
    )
    messages = _start_nginx(folder / "upstream", listening, port, core)
    stream_port = free_port()
    command = [sys.executable, "-m", "bench.upstream", str(stream_port)]
    return Upstreams(messages, start(command, stream_port, core, folder / "streams.log", {}))


def start_nginx_proxy(folder: Path, upstreams: Upstreams, core: int) -> Subject:
    ports = free_port(), free_port()
    servers = ""
    for name, port, to in (("m", ports[0], upstreams.messages.port), ("s", ports[1], upstreams.streams.port)):
        servers += (
            f"upstream {name} {{ server 127.0.0.1:{to}; keepalive 256; }}\n"
            f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://{name}; proxy_http_version 1.1;"
            ' proxy_set_header Connection ""; proxy_buffering off; proxy_request_buffering on; } }\n'
        )
    return Subject("nginx", _start_nginx(folder / "proxy", servers, ports[0], core), *ports)


def _start_nginx(folder: Path, servers: str, port: int, core: int) -> Running:
    folder.mkdir()
    for name in ("body", "proxy"):
        (folder / name).mkdir()
    config = folder / "nginx.conf"
    config.write_text(
        f"daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;\n"
        "events { worker_connections 8192; }\n"
        f"http {{ access_log off; keepalive_requests 100000000; client_max_body_size 64m; client_body_buffer_size 2m;\n"
        f"client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;\n{servers}}}\n"
    )
    return start(["nginx", "-p", str(folder), "-c", str(config)], port, core, folder / "log", {})


def configuration(upstreams: Upstreams, plan: Plan, *, everything: bool) -> str:
    """The gateway's declarative configuration: a provider for each upstream, a name for each model, one key."""
    plain, bedrock = models(plan)
    whole = _provider("bench", "anthropic", upstreams.messages.port, {"kind": "api_key", "api_key": "an-upstream-key"})
    live = _provider("bench-live", "anthropic", upstreams.streams.port, {"kind": "api_key", "api_key": "upstream-key"})
    cloud = _provider("bench-cloud", "bedrock", upstreams.streams.port, {"kind": "bearer", "token": "upstream-token"})
    served = [
        ("bench", "bench"),
        *(("bench-live", name) for name in plain),
        *(("bench-cloud", name) for name in bedrock),
    ]
    document: dict[str, Any] = {
        "version": 1,
        "providers": [whole, live, cloud | {"region": "us-east-1"}],
        "routes": [{"name": name, "targets": [{"provider": to, "model": name}]} for to, name in served],
        "aliases": [{"name": name, "route": name} for _, name in served],
        "teams": [{"name": "bench", "projects": [{"name": "bench", "keys": [{"name": "bench", "secret": KEY}]}]}],
    }
    return yaml.safe_dump(with_everything(document) if everything else document)


def _provider(name: str, speech: str, port: int, credential: dict[str, str]) -> dict[str, Any]:
    address = f"http://127.0.0.1:{port}"
    limits = {"allow_private_addresses": True, "max_connections": 4096}
    return {"name": name, "format": speech, "base_url": address, "credential": credential, **limits}


@contextmanager
def gateway(
    setup: Setup, folder: Path, upstreams: Upstreams, plan: Plan, core: int, services: Services
) -> Iterator[Subject]:
    """The production server in one set-up, running; its database is its own."""
    data = folder / f"data-{secrets.token_hex(3)}"
    data.mkdir()
    environment = {"GATEWAY_DATA_DIR": str(data), "GATEWAY_LOG_LEVEL": "WARNING", "GATEWAY_MAX_CONNECTIONS": "8192"}
    with ExitStack() as stack:
        if setup.postgres:
            environment["DATABASE_URL"] = stack.enter_context(_database(services.postgres))
        if setup.redis:
            environment["REDIS_URL"] = services.redis
        _manage(environment, "", "migrate", "--verbosity", "0")
        _manage(environment, configuration(upstreams, plan, everything=setup.everything), "import_config", "-")
        port = free_port()
        command = [sys.executable, "manage.py", "serve", "--port", str(port), "--workers", str(setup.workers)]
        begun = time.monotonic()
        server = start(command, port, core, data / "log", environment)
        try:
            _first_answer(port)
            seconds = time.monotonic() - begun
            if setup.workers > 1:
                time.sleep(2 * setup.workers)  # the others start behind the first one
            yield Subject(setup.name, server, port, port, seconds, server.resident_mib())
        finally:
            server.stop()


def _first_answer(port: int) -> None:
    limit = time.monotonic() + 60
    while time.monotonic() < limit:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/v1/models", headers={"authorization": f"Bearer {KEY}"})
            if connection.getresponse().status == 200:
                return
        except (OSError, http.client.HTTPException):
            time.sleep(0.02)
        finally:
            connection.close()
    raise NotMeasured("the gateway did not answer within a minute")


@contextmanager
def _database(server: str) -> Iterator[str]:
    name = f"gateway_bench_{secrets.token_hex(6)}"
    with psycopg.connect(server, autocommit=True, connect_timeout=5) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield server.rpartition("/")[0] + "/" + name
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _manage(environment: dict[str, str], text: str, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", **environment},
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise NotMeasured(f"manage.py {arguments[0]} failed:\n{done.stderr[-2000:]}")
