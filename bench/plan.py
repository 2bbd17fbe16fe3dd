"""What is measured: loads, configurations, rounds."""

from dataclasses import dataclass, field

SIZES = {"2 KB": 2_000, "100 KB": 100_000, "1 MB": 1_000_000}
EVENTS_PER_SECOND = 50
QUIET_SECONDS = 4  # that an open stream of the memory cells lasts
FLOOD = "bench-flood"


@dataclass(frozen=True, slots=True)
class Whole:
    """Requests with whole answers, as fast as so many connections go."""

    size: str
    connections: int

    @property
    def name(self) -> str:
        return (
            f"{self.size}, {self.connections} connections" if self.connections > 1 else f"{self.size}, one connection"
        )


@dataclass(frozen=True, slots=True)
class Streams:
    """Live streams of 50 events per second. `client` and `upstream` are formats; `size` that of the request's body."""

    count: int
    client: str = "anthropic"
    upstream: str = "anthropic"
    size: str = "2 KB"

    @property
    def name(self) -> str:
        crossing = "" if self.client == self.upstream else f", {self.upstream} to {self.client}"
        return f"{self.count} streams{crossing}"


@dataclass(frozen=True, slots=True)
class Quiet:
    """Open streams that say little: what one costs in memory."""

    count: int
    size: str

    @property
    def name(self) -> str:
        return f"{self.count} open streams, {self.size} body"


@dataclass(frozen=True, slots=True)
class Stalled:
    """Clients that read nothing of a stream without end, beside requests that go on."""

    count: int

    @property
    def name(self) -> str:
        return f"{self.count} stalled readers"


@dataclass(frozen=True, slots=True)
class Open:
    """Requests at a fixed rate, whether or not answers come; with `burst` so many times as many in every other second."""

    rate: int
    size: str = "2 KB"
    burst: int = 1

    @property
    def name(self) -> str:
        bursts = f" with bursts of {self.burst} x" if self.burst > 1 else ""
        return f"{self.size} at {self.rate} requests/s{bursts}"


Cell = Whole | Streams | Quiet | Stalled | Open


@dataclass(frozen=True, slots=True)
class Setup:
    """How the gateway is set up. `everything` switches on what bench/everything.py adds."""

    name: str
    everything: bool = True
    postgres: bool = False
    redis: bool = False
    workers: int = 1


@dataclass(frozen=True, slots=True)
class Plan:
    """`seconds` for each cell of whole answers, `stream_seconds` for each stream, `rate` its events per second."""

    rounds: int
    seconds: int
    stream_seconds: int
    cells: tuple[Cell, ...]
    setups: tuple[Setup, ...]
    rivals: tuple[str, ...] = field(default=())
    rate: int = EVENTS_PER_SECOND


def cells(*, quick: bool) -> tuple[Cell, ...]:
    """In this order: memory first, while the process is fresh."""
    crossing = [("anthropic", "bedrock"), ("bedrock", "anthropic")]
    if quick:
        return (
            Quiet(100, "2 KB"),
            Quiet(100, "100 KB"),
            Whole("2 KB", 1),
            Whole("2 KB", 16),
            Whole("100 KB", 16),
            Streams(100),
            *(Streams(100, client, upstream) for client, upstream in crossing),
            Open(300, burst=2),
            Stalled(20),
        )
    return (
        Quiet(300, "2 KB"),
        Quiet(300, "100 KB"),
        *(Whole(size, connections) for size in SIZES for connections in (1, 16, 64, 256)),
        *(Streams(count) for count in (100, 200, 500, 1000)),
        *(Streams(200, client, upstream) for client, upstream in crossing),
        *(Open(rate) for rate in (100, 500, 1000)),
        Open(200, "100 KB"),
        Open(500, burst=2),
        Stalled(100),
    )


def setups(*, quick: bool, workers: int) -> tuple[Setup, ...]:
    sqlite = Setup("everything, SQLite")
    if quick:
        return (sqlite,)
    postgres = Setup("everything, PostgreSQL", postgres=True)
    several = Setup(f"everything, PostgreSQL, Redis, {workers} workers", postgres=True, redis=True, workers=workers)
    return Setup("bare", everything=False), sqlite, postgres, several


def stream_model(seconds: int, upstream: str = "anthropic", rate: int = EVENTS_PER_SECOND) -> str:
    """The name of a model whose streams last so long; Bedrock's have a name of their own."""
    cloud = "-b" if upstream == "bedrock" else ""
    return f"bench-{rate}-{seconds}{cloud}"


def quiet_model() -> str:
    return f"bench-1-{QUIET_SECONDS}"


def models(plan: Plan) -> tuple[list[str], list[str]]:
    """The names that the loads ask for: those of the Anthropic upstream, those of the Bedrock one."""
    plain, cloud = (stream_model(plan.stream_seconds, upstream, plan.rate) for upstream in ("anthropic", "bedrock"))
    return [plain, quiet_model(), FLOOD], [cloud]
