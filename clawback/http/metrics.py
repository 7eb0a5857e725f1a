"""`/metrics` in OpenMetrics text. Money and queue gauges come from SQL when they are asked for.

Counters that live in one process are labelled with its pid; no label names a tenant.
"""

import os
from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.openmetrics.exposition import generate_latest


def render_metrics(gauges: Mapping[str, float]) -> bytes:
    """The gauges, by name; this process's own carry its pid."""
    registry = CollectorRegistry()
    for name, value in gauges.items():
        is_own = name.startswith("process_")
        labels = ["pid"] if is_own else []
        gauge = Gauge(
            f"clawback_{name}", name.replace("_", " "), labelnames=labels, registry=registry
        )
        (gauge.labels(str(os.getpid())) if is_own else gauge).set(value)
    found: bytes = generate_latest(registry)  # type: ignore[no-untyped-call]  # has no types
    return found
