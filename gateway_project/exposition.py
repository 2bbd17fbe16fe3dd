"""The figures of a process as metric families, as JSON between workers, and as the text that Prometheus reads.

Every sample carries the label `worker`: workers count apart, so a restarted one begins at zero without making a sum
jump, and `sum without (worker) (rate(...))` is right.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec
from prometheus_client import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from gateway_project.metrics import LAG_BOUNDS, REQUEST_BOUNDS, TOKEN_KINDS, Figures, Histogram

Labels = dict[str, str]


class Family(msgspec.Struct):
    """One metric: its name, what it says, `counter`, `gauge` or `histogram`, and its samples by name and labels."""

    name: str
    help: str
    kind: str
    samples: list[tuple[str, Labels, float]] = []

    def add(self, value: float, suffix: str = "", **labels: str) -> None:
        self.samples.append((self.name + suffix, labels, float(value)))

    def add_histogram(self, histogram: Histogram, bounds: Sequence[float], scale: float = 1.0, **labels: str) -> None:
        """`scale` turns the histogram's sum into the metric's unit."""
        below = 0
        for bound, count in zip((*map(str, bounds), "+Inf"), histogram.counts, strict=True):
            below += count
            self.add(below, "_bucket", le=bound, **labels)
        self.add(below, "_count", **labels)
        self.add(histogram.total * scale, "_sum", **labels)


GAUGES = {
    "ready": "Whether new requests are served here.",
    "requests_in_flight": "Requests that are running.",
    "spool_depth": "Finished requests that are not in the database yet.",
    "snapshot_revision": "The revision of the routing configuration that is served.",
    "directory_revision": "The revision of keys and teams that is served.",
}


def families(figures: Figures, gauges: Mapping[str, float]) -> list[Family]:
    """Everything that one process has to tell; `gauges` are values of this moment, by the names in `GAUGES`."""
    found = [*_requests(figures), _attempts(figures), *_by_provider(figures), *_server(figures)]
    for name, text in GAUGES.items():
        if name in gauges:
            gauge = Family(f"gateway_{name}", text, "gauge")
            gauge.add(gauges[name])
            found.append(gauge)
    return [*found, *_process()]


def _requests(figures: Figures) -> Iterator[Family]:
    requests = Family("gateway_requests", "Requests that are over.", "counter")
    for (speech, operation, outcome, provider, status, stream), row in list(figures.rows.items()):
        requests.add(
            row.requests, "_total", format=speech, operation=operation, outcome=outcome, provider=provider,
            status=f"{status}xx", stream="yes" if stream else "no",
        )  # fmt: skip
    yield requests


def _attempts(figures: Figures) -> Family:
    attempts = Family("gateway_upstream_attempts", "Calls to providers, by the status they answered.", "counter")
    for (provider, status), count in list(figures.attempts.items()):
        attempts.add(count, "_total", provider=provider, result=str(status) if status else "no_answer")
    return attempts


def _by_provider(figures: Figures) -> Iterator[Family]:
    durations: dict[str, Histogram] = defaultdict(lambda: Histogram(REQUEST_BOUNDS))
    firsts: dict[str, Histogram] = defaultdict(lambda: Histogram(REQUEST_BOUNDS))
    tokens = Family("gateway_tokens", "Tokens used, by kind.", "counter")
    costs = Family("gateway_cost_usd", "Cost of finished requests in US dollars; records are exact.", "counter")
    used: dict[tuple[str, str], int] = defaultdict(int)
    spent: dict[str, float] = defaultdict(float)
    for key, row in list(figures.rows.items()):
        provider = key[3]
        durations[provider].add(row.duration)
        firsts[provider].add(row.first_byte)
        spent[provider] += float(row.cost)
        for kind, number in zip(TOKEN_KINDS, row.tokens, strict=True):
            used[provider, kind] += number
    for (provider, kind), number in used.items():
        tokens.add(number, "_total", provider=provider, kind=kind)
    for provider, cost in spent.items():
        costs.add(cost, "_total", provider=provider)
    yield tokens
    yield costs
    for name, text, histograms in (
        ("gateway_request_seconds", "From a request's head to its record.", durations),
        ("gateway_first_byte_seconds", "From a request's head to the first byte of its answer.", firsts),
    ):
        family = Family(name, text, "histogram")
        for provider, histogram in histograms.items():
            family.add_histogram(histogram, REQUEST_BOUNDS, 0.001, provider=provider)
        yield family


def _server(figures: Figures) -> Iterator[Family]:
    lag = Family("gateway_event_loop_lag_seconds", "How much too late the event loop comes to a timer.", "histogram")
    lag.add_histogram(figures.lag, LAG_BOUNDS)
    connections = Family("gateway_connections", "Client connections that are open.", "gauge")
    connections.add(figures.connections())
    away = Family("gateway_turned_away", "Connections refused or ended before they became a request.", "counter")
    for reason, count in figures.turned_away.items():
        away.add(count, "_total", reason=reason)
    yield from (lag, connections, away)


def _process() -> Iterator[Family]:
    """CPU, memory and descriptors of this process, where the system tells them (/proc)."""
    for metric in ProcessCollector(registry=None).collect():
        family = Family(metric.name, metric.documentation, metric.type)
        family.samples = [(sample.name, dict(sample.labels), sample.value) for sample in metric.samples]
        yield family


class _Merged(Collector):
    """The families of several workers, as a collector."""

    def __init__(self, workers: Mapping[str, Iterable[Family]]) -> None:
        self._workers = workers

    def collect(self) -> Iterator[Metric]:
        metrics: dict[str, Metric] = {}
        for worker, found in self._workers.items():
            for family in found:
                metric = metrics.setdefault(family.name, Metric(family.name, family.help, family.kind))
                for name, labels, value in family.samples:
                    metric.add_sample(name, {**labels, "worker": worker}, value)
        yield from metrics.values()


def text_of(workers: Mapping[str, Iterable[Family]], accept: str) -> tuple[bytes, str]:
    """The body of /metrics and its content type; `accept` chooses between Prometheus' and OpenMetrics' text."""
    encode, content_type = choose_encoder(accept)
    return encode(_Merged(workers)), content_type
