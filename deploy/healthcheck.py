"""Exit status 0 if the gateway of this container answers /healthz, else 1. Needs nothing but the standard library."""

import http.client
import os
import sys

SECONDS = 2.5


def healthy(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(0 if healthy(int(os.environ.get("GATEWAY_PORT", "8000"))) else 1)
