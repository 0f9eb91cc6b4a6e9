"""Prometheus metrics of the process. Every name begins with `rapport_`; labels never carry personal data or unbounded values.

Forked processes of one service (`prefork`) keep them in files of one folder, and each of them answers for all.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from libs.kit.settings import find_shared_metrics

__all__ = ["REGISTRY", "Counter", "Gauge", "Histogram", "counter", "gauge", "histogram", "render_metrics"]

REGISTRY = CollectorRegistry(auto_describe=True)
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
LATENCY_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

_made: dict[str, Counter | Gauge | Histogram] = {}


def _full(name: str) -> str:
    return name if name.startswith("rapport_") else f"rapport_{name}"


def counter(name: str, documentation: str, labels: Sequence[str] = ()) -> Counter:
    """The counter of that name; made at the first call, the same one after."""
    name = _full(name)
    made = _made.get(name)
    if made is None:
        made = _made[name] = Counter(name, documentation, labels, registry=REGISTRY)
    if not isinstance(made, Counter):
        raise TypeError(f"{name} is another kind of metric")
    return made


def gauge(
    name: str, documentation: str, labels: Sequence[str] = (), *, of_several: Literal["livesum", "livemax"] = "livesum"
) -> Gauge:
    """The gauge of that name; made at the first call, the same one after. `of_several`: what processes that share it show."""
    name = _full(name)
    made = _made.get(name)
    if made is None:
        made = _made[name] = Gauge(name, documentation, labels, registry=REGISTRY, multiprocess_mode=of_several)
    if not isinstance(made, Gauge):
        raise TypeError(f"{name} is another kind of metric")
    return made


def histogram(
    name: str, documentation: str, labels: Sequence[str] = (), *, buckets: Sequence[float] = LATENCY_BUCKETS_S
) -> Histogram:
    """The histogram of that name; made at the first call, the same one after."""
    name = _full(name)
    made = _made.get(name)
    if made is None:
        made = _made[name] = Histogram(name, documentation, labels, registry=REGISTRY, buckets=buckets)
    if not isinstance(made, Histogram):
        raise TypeError(f"{name} is another kind of metric")
    return made


def forget_process(pid: int) -> None:
    """What an ended process counted stays counted; its gauges go."""
    mark_process_dead(pid)  # type: ignore[no-untyped-call]


def drop_series(metric: Gauge, *labels: str) -> None:
    """It is another process's to tell from now on. Files can't forget: there it is 0."""
    if find_shared_metrics() is not None:
        metric.labels(*labels).set(0)
        return
    with suppress(KeyError):
        metric.remove(*labels)


def render_metrics() -> bytes:
    """The exposition format, version 0.0.4."""
    if find_shared_metrics() is None:
        return generate_latest(REGISTRY)
    together = CollectorRegistry()
    MultiProcessCollector(together)  # type: ignore[no-untyped-call]
    return generate_latest(together)
