"""The ids of requests."""

import os
import time

_STOCK_BYTES = 4000  # of chance that are fetched at once: to ask the system each time lets other threads in between
_stock: list[str] = []


def new_request_id() -> str:
    """`req_` + 32 hexadecimal digits, of which the first 12 are milliseconds: ids sort by time."""
    while True:
        try:
            return f"req_{time.time_ns() // 1_000_000:012x}{_stock.pop()}"
        except IndexError:
            chance = os.urandom(_STOCK_BYTES).hex()
            _stock.extend(chance[at : at + 20] for at in range(0, len(chance), 20))


os.register_at_fork(after_in_child=_stock.clear)  # or two processes would give the same ids
