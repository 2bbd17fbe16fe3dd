"""What upstreams report, and what it costs. Every amount was worked out by hand, in dollars.

`PLAIN` is priced as the manual's example; the others have five prices only. A case has either one whole `usage` (which also
travels as a stream: a start, then one cumulative delta) or `reports`, the usage objects of a stream one after the other.
"""

from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

PLAIN, ADVISER, SECOND, NOBODY, TINY = "plain", "adviser", "second", "nobody", "tiny"

PRICES: list[Json] = [
    {
        "provider": "*", "model": "*claude-plain*", "valid_from": "2025-09-29",
        "input": 3, "output": 15, "cache_write_5m": 3.75, "cache_write_1h": 6, "cache_read": 0.30,
        "long_context": {
            "above": 200000, "input": 6, "output": 22.5, "cache_write_5m": 7.5, "cache_write_1h": 12, "cache_read": 0.60,
        },
        "fast": {"input": 30, "output": 150, "cache_write_5m": 37.5, "cache_write_1h": 60, "cache_read": 3},
        "batch_multiplier": 0.5, "geo_multipliers": {"us": 1.1}, "web_search_per_1000": 10,
    },
    {
        "provider": "*", "model": "*claude-adviser*", "valid_from": "2025-09-29",
        "input": 5, "output": 25, "cache_write_5m": 6.25, "cache_write_1h": 10, "cache_read": 0.5,
    },
    {
        "provider": "*", "model": "*claude-second*", "valid_from": "2025-09-29",
        "input": 1, "output": 5, "cache_write_5m": 1.25, "cache_write_1h": 2, "cache_read": 0.1,
    },
    {
        "provider": "*", "model": "*claude-tiny*", "valid_from": "2025-09-29", "batch_multiplier": 0.5,
        "input": 0.000001, "output": 0.123457, "cache_write_5m": 0.000003, "cache_write_1h": 0, "cache_read": 9999.999999,
    },
]  # fmt: skip
UNKNOWN_PRICE: Json = {"input": 15, "output": 75, "cache_write_5m": 18.75, "cache_write_1h": 30, "cache_read": 1.5}

ALL: Json = {
    "input_tokens": 11, "output_tokens": 5, "cache_read_input_tokens": 1000, "cache_creation_input_tokens": 300,
    "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200},
}  # fmt: skip
LONG: Json = {
    "input_tokens": 100_000, "output_tokens": 1000, "cache_read_input_tokens": 50_000,
    "cache_creation_input_tokens": 60_000,
    "cache_creation": {"ephemeral_5m_input_tokens": 30_000, "ephemeral_1h_input_tokens": 30_000},
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    name: str
    cost: str
    usage: Json | None = None
    reports: tuple[Json | None, ...] = ()
    model: str = PLAIN
    band: str = "standard"
    estimated: bool = False


def _tokens(input_: int = 0, output: int = 0, **fields: Any) -> Json:
    return {"input_tokens": input_, "output_tokens": output, **fields}


def _written(total: int | None, short: int | None, long: int | None, **fields: Any) -> Json:
    split = {"ephemeral_5m_input_tokens": short, "ephemeral_1h_input_tokens": long}
    return _tokens(cache_creation_input_tokens=total, cache_creation=split, **fields)


def _called(kind: str, input_: int, output: int, **fields: Any) -> Json:
    return {"type": kind, "input_tokens": input_, "output_tokens": output, **fields}


def _listed(input_: int, output: int, *iterations: Json) -> Json:
    return _tokens(input_, output, iterations=list(iterations))


_KINDS = (
    Case("input", "0.003", _tokens(1000)),
    Case("output", "0.015", _tokens(0, 1000)),
    Case("cache read", "0.0003", _tokens(cache_read_input_tokens=1000)),
    Case("write of 5 minutes", "0.00375", _written(1000, 1000, 0)),
    Case("write of 1 hour", "0.006", _written(1000, 0, 1000)),
    Case("every kind", "0.001983", ALL),
    Case("one token of every kind", "0.00002805", {**_written(2, 1, 1, cache_read_input_tokens=1), **_tokens(1, 1)}),
    Case("nothing at all", "0", _tokens()),
    Case("no split", "0.00375", _tokens(cache_creation_input_tokens=1000)),
    Case("split is null", "0.00375", _tokens(cache_creation_input_tokens=1000, cache_creation=None)),
    Case("half of the split is missing", "0.00465", _written(1000, None, 400)),
    Case("the other half is missing", "0.005775", _written(1000, 100, None)),
    Case("split says less than the whole", "0.0042", _written(1000, 100, 200)),
    Case("split says more than the whole", "0.00585", _written(1000, 600, 600), estimated=True),
    Case("nulls", "0.018", _tokens(1000, 1000, cache_read_input_tokens=None, cache_creation_input_tokens=None,
                                   cache_creation=None, server_tool_use=None, service_tier=None, speed=None,
                                   inference_geo=None, iterations=None, output_tokens_details=None)),
    Case("fields of days to come", "0.018", _tokens(1000, 1000, brain_waves=7, fallback_credit={"amount": 3})),
    Case("thinking is part of the output", "0.015", _tokens(0, 1000, output_tokens_details={"thinking_tokens": 400})),
    Case("more thinking than output", "0.006", _tokens(0, 100, output_tokens_details={"thinking_tokens": 400}),
         estimated=True),
)  # fmt: skip
_TOOLS = (
    Case("searches", "0.033", _tokens(1000, server_tool_use={"web_search_requests": 3})),
    Case("fetches are free", "0.003", _tokens(1000, server_tool_use={"web_fetch_requests": 5})),
    Case("searches are null", "0.003", _tokens(1000, server_tool_use={"web_search_requests": None})),
    Case("searches beside a batch", "0.0215",
         _tokens(1000, service_tier="batch", server_tool_use={"web_search_requests": 2})),
    Case("searches beside a region", "0.0133",
         _tokens(1000, inference_geo="us", server_tool_use={"web_search_requests": 1})),
)  # fmt: skip
_TIERS = (
    Case("standard", "0.001983", {**ALL, "service_tier": "standard"}),
    Case("priority", "0.001983", {**ALL, "service_tier": "priority"}),
    Case("batch", "0.0009915", {**ALL, "service_tier": "batch"}),
    Case("batch of a model without a discount", "0.002", _tokens(2000, service_tier="batch"), model=SECOND),
    Case("region", "0.0021813", {**ALL, "inference_geo": "us"}),
    Case("region without a multiplier", "0.001983", {**ALL, "inference_geo": "eu"}),
    Case("region is not told", "0.001983", {**ALL, "inference_geo": "not_available"}),
    Case("batch in a region", "0.00109065", {**ALL, "service_tier": "batch", "inference_geo": "us"}),
    Case("fast", "0.18", _tokens(1000, 1000, speed="fast"), band="fast"),
    Case("fast, every kind", "0.01983", {**ALL, "speed": "fast"}, band="fast"),
    Case("fast and long", "9", _tokens(300_000, speed="fast"), band="fast"),
    Case("fast in a batch", "0.09", _tokens(1000, 1000, speed="fast", service_tier="batch"), band="fast"),
    Case("fast in a region", "0.198", _tokens(1000, 1000, speed="fast", inference_geo="us"), band="fast"),
    Case("not fast", "0.018", _tokens(1000, 1000, speed="standard")),
    Case("fast without a price for it", "0.006", _tokens(1000, 1000, speed="fast"), model=SECOND),
)
_BANDS = (
    Case("as long as the band allows", "0.6", _tokens(200_000)),
    Case("one token longer", "1.200006", _tokens(200_001), band="long_context"),
    Case("long by what is read", "0.120006", _tokens(1, cache_read_input_tokens=200_000), band="long_context"),
    Case("long by 5 minute writes", "1.500006", {**_written(200_000, 200_000, 0), **_tokens(1)}, band="long_context"),
    Case("long by 1 hour writes", "2.400006", {**_written(200_000, 0, 200_000), **_tokens(1)}, band="long_context"),
    Case("long by all together", "1.2375", LONG, band="long_context"),
    Case("long in a batch", "0.61875", {**LONG, "service_tier": "batch"}, band="long_context"),
    Case("long in a batch in a region", "0.680625", {**LONG, "service_tier": "batch", "inference_geo": "us"},
         band="long_context"),
    Case("long with a search", "1.2475", {**LONG, "server_tool_use": {"web_search_requests": 1}}, band="long_context"),
    Case("output does not make a prompt long", "2.099997", _tokens(199_999, 100_000)),
)  # fmt: skip
_ITERATIONS = (
    Case("no iterations", "0.0045", _listed(1000, 100)),
    Case("one message", "0.0045", _listed(1000, 100, _called("message", 1000, 100))),
    Case("two short messages", "0.903",
         _listed(300_000, 200, _called("message", 150_000, 100), _called("message", 150_000, 100))),
    Case("a long message and a short one", "1.65375",
         _listed(300_000, 200, _called("message", 250_000, 100), _called("message", 50_000, 100)), band="long_context"),
    Case("messages that are not the whole", "1.8045",
         _listed(300_000, 200, _called("message", 100_000, 100), _called("message", 100_000, 100)), band="long_context"),
    Case("compaction", "0.6765", _listed(23_000, 1000, _called("compaction", 180_000, 3500),
                                         _called("message", 23_000, 1000))),
    Case("compaction of a long prompt", "1.527", _listed(1000, 100, _called("compaction", 250_000, 1000))),
    Case("adviser", "0.022", _listed(1000, 100, _called("advisor_message", 2000, 300, model="claude-adviser-1"))),
    Case("adviser with a cache", "0.005625",
         _listed(1000, 100, _called("advisor_message", 0, 0, model="claude-adviser-1", cache_read_input_tokens=1000,
                                    cache_creation_input_tokens=100))),
    Case("adviser without a price", "0.02025",
         _listed(1000, 100, _called("advisor_message", 1000, 10, model="mystery-1"))),
    Case("fallback", "0.00515", _listed(2000, 210, _called("message", 1000, 10),
                                        _called("fallback_message", 1000, 200, model="claude-second-1"))),
    Case("fallback that is the whole", "0.00515",
         _listed(1000, 200, _called("message", 1000, 10),
                 _called("fallback_message", 1000, 200, model="claude-second-1"))),
    Case("fallback that contradicts the whole", "0.0225",
         _listed(5000, 500, _called("message", 1000, 10),
                 _called("fallback_message", 1000, 200, model="claude-second-1")), estimated=True),
    Case("iteration of days to come", "0.00765", _listed(1000, 100, _called("dream", 1000, 10)), estimated=True),
    Case("messages, compaction and adviser", "0.054",
         _listed(2000, 200, _called("message", 1000, 100), _called("compaction", 10_000, 500),
                 _called("advisor_message", 1000, 100, model="claude-adviser-1"), _called("message", 1000, 100))),
    Case("only the whole has the split", "0.0051",
         _written(1000, 400, 600, iterations=[_called("message", 0, 0, cache_creation_input_tokens=500),
                                              _called("message", 0, 0, cache_creation_input_tokens=500)])),
    Case("iterations in a batch with a search", "0.01225",
         {**_listed(1000, 0, _called("compaction", 500, 0)), "service_tier": "batch",
          "server_tool_use": {"web_search_requests": 1}}),
)  # fmt: skip
_MODELS = (
    Case("unknown model", "0.009915", ALL, model=NOBODY),
    Case(
        "unknown model with searches", "0.035", _tokens(1000, server_tool_use={"web_search_requests": 2}), model=NOBODY
    ),
    Case("smallest price", "0.000000000001", _tokens(1), model=TINY),
    Case("half a unit is rounded to even", "0.000000000002", _tokens(3, service_tier="batch"), model=TINY),
    Case("odd price", "0.121932799878", _tokens(0, 987_654), model=TINY),
    Case("dear price", "9.999999999", _tokens(cache_read_input_tokens=1000), model=TINY),
)
_STREAMS = (
    Case("cumulative deltas", "0.00153", reports=(_tokens(10, 1), {"output_tokens": 5}, {"output_tokens": 20},
                                                  {"output_tokens": 100})),
    Case("deltas without usage", "0.00153", reports=(_tokens(10, 1), None, {"output_tokens": 100}, None)),
    Case("deltas of nulls", "0.00153", reports=(_tokens(10, 100), {"output_tokens": None, "input_tokens": None,
                                                                   "cache_read_input_tokens": None})),
    Case("delta adds input and cache", "0.00195",
         reports=(_tokens(10, 1), {"input_tokens": 500, "cache_read_input_tokens": 1000, "output_tokens": 10})),
    Case("delta moves input into the cache", "0.00099",
         reports=(_tokens(1000, 1), {"input_tokens": 200, "cache_read_input_tokens": 800, "output_tokens": 10})),
    Case("split in the start alone", "0.0001725",
         reports=(_written(30, 10, 20), {"cache_creation_input_tokens": 30, "output_tokens": 1})),
    Case("writes grow after the split", "0.0002475",
         reports=(_written(30, 10, 20), {"cache_creation_input_tokens": 50, "output_tokens": 1})),
    Case("output shrinks", "0.00153", reports=(_tokens(10, 1), {"output_tokens": 100}, {"output_tokens": 50}),
         estimated=True),
    Case("prompt shrinks", "0.00315", reports=(_tokens(1000, 1), {"input_tokens": 10, "output_tokens": 10}),
         estimated=True),
    Case("searches add up", "0.03303",
         reports=(_tokens(1000, 1, server_tool_use={"web_search_requests": 0}),
                  {"server_tool_use": {"web_search_requests": 1}, "output_tokens": 1},
                  {"server_tool_use": {"web_search_requests": 3}, "output_tokens": 2})),
    Case("tier and region in the start", "0.00109065",
         reports=({**ALL, "output_tokens": 1, "service_tier": "batch", "inference_geo": "us"}, {"output_tokens": 5})),
    Case("speed in the delta", "0.18", reports=(_tokens(1000, 1), {"output_tokens": 1000, "speed": "fast"}), band="fast"),
    Case("long by the delta", "1.200006",
         reports=(_tokens(10, 0), {"input_tokens": 200_001, "output_tokens": 0}), band="long_context"),
    Case("iterations in the delta", "0.0765",
         reports=(_tokens(1000, 1), {"output_tokens": 100, "iterations": [
             _called("compaction", 19_000, 1000), _called("message", 1000, 100)]})),
    Case("a number that is none is passed over", "0.00153",
         reports=(_tokens(10, 1), {"output_tokens": 100, "input_tokens": -5}), estimated=True),
    Case("absurd, then sensible", "0.00153",
         reports=(_tokens(10, 10**20), {"output_tokens": 100}), estimated=True),
)  # fmt: skip

CASES = (*_KINDS, *_TOOLS, *_TIERS, *_BANDS, *_ITERATIONS, *_MODELS, *_STREAMS)
