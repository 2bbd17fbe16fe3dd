"""What is compared: nginx as a plain proxy, the yardstick, and the gateway with everything that it has switched on.

Both stand before the same two upstreams: nginx answering with a fixed message, and the stream provider of
`bench.upstream`. A request with `"stream": true` and the model `bench-stream` belongs to the second.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

from bench.processes import ROOT, NotMeasured, Running, free_port, start

KEY = "bench-key-0123456789abcdefghij"
EVENTS_PER_SECOND = 50.0
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
    """`port` takes whole answers, `stream_port` streams; `server` is what is measured."""

    name: str
    server: Running
    port: int
    stream_port: int


def start_upstreams(folder: Path, core: int, stream_seconds: float) -> Upstreams:
    port = free_port()
    answer = json.dumps(ANSWER).replace("'", "")
    listening = (
        f"server {{ listen 127.0.0.1:{port}; location / {{ default_type application/json; return 200 '{answer}'; }} }}"
    )
    messages = _start_nginx(folder / "upstream", listening, port, core)
    stream_port = free_port()
    command = [sys.executable, "-m", "bench.upstream", str(stream_port), str(EVENTS_PER_SECOND), str(stream_seconds)]
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
        "events { worker_connections 4096; }\n"
        f"http {{ access_log off; keepalive_requests 100000000; client_max_body_size 64m; client_body_buffer_size 1m;\n"
        f"client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;\n{servers}}}\n"
    )
    return start(["nginx", "-p", str(folder), "-c", str(config)], port, core, folder / "log", {})


def configuration(upstreams: Upstreams) -> str:
    """The gateway's declarative configuration: two providers, two names, one key."""
    pairs = (("bench", upstreams.messages.port), ("bench-stream", upstreams.streams.port))
    target = [(name, {"provider": name, "model": name}) for name, _ in pairs]
    document = {
        "version": 1,
        "providers": [
            {
                "name": name,
                "format": "anthropic",
                "base_url": f"http://127.0.0.1:{port}",
                "credential": {"kind": "api_key", "api_key": "an-upstream-key"},
                "allow_private_addresses": True,
            }
            for name, port in pairs
        ],
        "routes": [{"name": name, "targets": [entry]} for name, entry in target],
        "aliases": [{"name": name, "route": name} for name, _ in pairs],
        "teams": [{"name": "bench", "projects": [{"name": "bench", "keys": [{"name": "bench", "secret": KEY}]}]}],
    }
    return yaml.safe_dump(document)


def start_gateway(folder: Path, upstreams: Upstreams, core: int, database: str) -> Subject:
    """The production server with one worker, as it is installed: keys, routing and records on."""
    data = folder / "data"
    data.mkdir()
    environment = {"GATEWAY_DATA_DIR": str(data), "GATEWAY_LOG_LEVEL": "WARNING"}
    if database:
        environment["DATABASE_URL"] = database
    _manage(environment, "", "migrate", "--verbosity", "0")
    _manage(environment, configuration(upstreams), "import_config", "-")
    port = free_port()
    command = [sys.executable, "manage.py", "serve", "--port", str(port)]
    return Subject("gateway", start(command, port, core, folder / "gateway.log", environment), port, port)


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
