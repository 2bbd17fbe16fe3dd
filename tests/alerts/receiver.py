"""Somebody who receives webhooks: a real HTTP server that checks signatures, and answers as it is told."""

import base64
import hmac
import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Receiver:
    """What arrived, and the statuses to answer with (the last one goes on). `drip` sends an answer that never ends."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.bodies: list[bytes] = []
        self.statuses: list[int] = [200]
        self.drip = False
        self.url = ""

    def genuine(self, secret: str, number: int = -1) -> bool:
        """Whether a message is signed with this secret, by the rule of Standard Webhooks."""
        headers, body = self.headers[number], self.bodies[number]
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        key = base64.b64decode(secret.removeprefix("whsec_"))
        expected = "v1," + base64.b64encode(hmac.new(key, signed, "sha256").digest()).decode()
        recent = abs(int(headers["webhook-timestamp"]) - time.time()) < 60
        return recent and hmac.compare_digest(expected, headers["webhook-signature"])


@contextmanager
def receiver(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    found = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            found.headers.append({name.lower(): value for name, value in self.headers.items()})
            found.bodies.append(body)
            found.received.append(json.loads(body))
            if found.drip:
                self._drip()
                return
            status = found.statuses.pop(0) if len(found.statuses) > 1 else found.statuses[0]
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("location", f"{found.url}elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()

        def _drip(self) -> None:
            try:
                for _number in range(600):
                    self.wfile.write(b"H")
                    self.wfile.flush()
                    if gone.wait(0.05):
                        return
            except OSError:
                pass

        def log_message(self, *args: Any) -> None:
            pass

    gone = threading.Event()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    found.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}/"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        gone.set()
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)
