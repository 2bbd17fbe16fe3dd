"""Which candidates can carry what a request makes use of. Pure: the rest of a route is asked first, the refusal comes last."""

import msgspec

from routing.formats.base import Inbound
from routing.formats.compat import Registry
from routing.formats.faults import NotBridgeable
from routing.formats.translate import features, unbridgeable
from routing.resolve import Candidate, Resolution


def capable(inbound: Inbound, resolution: Resolution, registry: Registry) -> Resolution:
    """The resolution without the targets that cannot carry the request; they stand among those passed over, with why.

    Raises the first `NotBridgeable` if none is left, and `BadBody` for a body that cannot be read.
    """
    same_format = all(each.target.provider.format == inbound.format for each in resolution.candidates)
    if same_format and not registry.touches(inbound.format):
        return resolution
    found = features(inbound)
    kept: list[Candidate] = []
    refusals: list[NotBridgeable] = []
    passed_over = list(resolution.passed_over)
    for candidate in resolution.candidates:
        target = candidate.target
        refusal = unbridgeable(
            inbound,
            found,
            upstream_format=target.provider.format,
            upstream_model=target.model,
            registry=registry,
        )
        if refusal is None:
            kept.append(candidate)
        else:
            refusals.append(refusal)
            passed_over.append((target, f"it cannot carry the request: {refusal.message}"))
    if not kept:
        raise refusals[0]
    return msgspec.structs.replace(resolution, candidates=tuple(kept), passed_over=tuple(passed_over))
