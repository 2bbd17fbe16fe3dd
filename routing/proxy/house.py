"""What a request needs to know and to use, in one place. A process has one; see `runtime`."""

from collections.abc import Callable
from dataclasses import dataclass, field

from accounting.access.directory import Directory
from accounting.money.recorder import Recorder
from gateway_project.jobs import JobLog
from routing.health import Health
from routing.observations import Observations
from routing.proxy.allowance import Allowance
from routing.proxy.billing import Billing
from routing.proxy.drains import Drains
from routing.proxy.passthrough import PassThrough
from routing.proxy.resends import Resends
from routing.proxy.upstream import UpstreamClient
from routing.sessions import Sessions
from routing.shadows import Shadows
from routing.snapshot import Snapshot


@dataclass(slots=True)
class House:
    """`snapshot`, `directory` and the book of prices are swapped whole when they change."""

    snapshot: Snapshot
    directory: Directory
    recorder: Recorder
    upstreams: UpstreamClient
    health: Health
    ping_seconds: float
    random: Callable[[], float]
    observations: Observations
    passthrough: PassThrough
    billing: Billing
    limits: Allowance
    drains: Drains = field(default_factory=Drains)
    resends: Resends = field(default_factory=Resends)
    draining: bool = False
    sessions: Sessions = field(default_factory=Sessions)
    shadows: Shadows = field(default_factory=Shadows)
    jobs: JobLog = field(default_factory=JobLog)

    @property
    def informed(self) -> bool:
        """Whether the configuration has been read at all."""
        return self.snapshot.revision >= 0 and self.directory.revision >= 0 and self.billing.book.revision >= 0
