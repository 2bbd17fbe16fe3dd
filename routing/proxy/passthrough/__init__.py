"""Message batches and files: kept by a provider of the Anthropic format, passed through, owned by teams, metered.

Unlike an inference request, making one writes to the database before the client is answered (docs/decisions/0004); reading
one asks the memory only.
"""

from routing.proxy.passthrough.owners import Owners
from routing.proxy.passthrough.service import PassThrough

__all__ = ["Owners", "PassThrough"]
