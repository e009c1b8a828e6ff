"""What the collector counts, in Prometheus's format."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from ingestion.collector.storing import StoredCounts

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_GROUP_SIZES = (1, 10, 50, 100, 250, 500, 1_000, 2_000, 4_000)
_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5, 20)


class CollectorMetrics:
    """Counters of one app."""

    def __init__(self, held_bytes: Callable[[], float]) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "marquee_collector_requests", "Answered requests.", ["status"], registry=self._registry
        )
        self._events = Counter(
            "marquee_collector_events", "Events, by what became of them.", ["outcome"], registry=self._registry
        )
        self._group_sizes = Histogram(
            "marquee_collector_group_events", "Events in one commit.", buckets=_GROUP_SIZES, registry=self._registry
        )
        self._group_seconds = Histogram(
            "marquee_collector_group_seconds", "Time of one commit.", buckets=_SECONDS, registry=self._registry
        )
        held = Gauge(
            "marquee_collector_waiting_bytes", "Memory of events that are not stored yet.", registry=self._registry
        )
        held.set_function(held_bytes)

    def count_request(self, status: int) -> None:
        self._requests.labels(status).inc()

    def count_group(self, counts: StoredCounts, seconds: float) -> None:
        """Count one commit; from the writer's thread."""
        by_outcome = {
            "stored": counts.stored,
            "repeated": counts.repeated,
            "set_aside": counts.set_aside,
            "dropped": counts.dropped,
        }
        for outcome, count in by_outcome.items():
            self._events.labels(outcome).inc(count)
        self._group_sizes.observe(sum(by_outcome.values()))
        self._group_seconds.observe(seconds)

    def page(self) -> bytes:
        return generate_latest(self._registry)
