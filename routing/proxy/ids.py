"""The ids of requests."""

import secrets
import time


def new_request_id() -> str:
    """`req_` + 32 hexadecimal digits, of which the first 12 are milliseconds: ids sort by time."""
    return f"req_{time.time_ns() // 1_000_000:012x}{secrets.token_hex(10)}"
