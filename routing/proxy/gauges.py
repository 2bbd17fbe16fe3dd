"""What /metrics shows of this moment."""

from routing.proxy.runtime import Runtime


def gauges(runtime: Runtime) -> dict[str, float]:
    """By the names of `gateway_project.exposition.GAUGES`."""
    house = runtime.house
    return {
        "ready": float(runtime.ready),
        "requests_in_flight": float(runtime.active),
        "spool_depth": float(house.recorder.depth),
        "snapshot_revision": float(house.snapshot.revision),
        "directory_revision": float(house.directory.revision),
    }
