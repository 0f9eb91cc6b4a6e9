"""What the services' metrics add up to: the few numbers that show a platform at work."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

Samples = dict[str, float]
"""Metric name with its labels, as exposed, -> value."""


def parse_metrics(text: str) -> Samples:
    """The sample lines of the Prometheus text format; comments and what can't be read are left out."""
    samples: Samples = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            try:
                samples[name] = float(value)
            except ValueError:
                continue
    return samples


def select(samples: Samples, name: str, **labels: str) -> Iterator[float]:
    """Values of one metric whose labels include these."""
    wanted = [f'{label}="{value}"' for label, value in labels.items()]
    for key, value in samples.items():
        bare, _, rest = key.partition("{")
        if bare == name and all(part in rest for part in wanted):
            yield value


def total(samples: Samples, *names: str, **labels: str) -> float | None:
    """The sum of the first of these metrics that is there at all; None when none is (a service that doesn't count it yet)."""
    for name in names:
        if values := list(select(samples, name, **labels)):
            return sum(values)
    return None


@dataclass(frozen=True, slots=True)
class Figures:
    """One look. None: not known."""

    touchpoints: float | None = None
    rejected: float | None = None
    profiles: float | None = None
    changes: float | None = None
    segment_changes: float | None = None
    messages: float | None = None
    points: float | None = None
    lag: Mapping[str, float] = field(default_factory=dict)


def compute_figures(by_service: Mapping[str, Samples]) -> Figures:
    nothing: Samples = {}
    ingest = by_service.get("ingest", nothing)
    profile = by_service.get("profile", nothing)
    engagement = by_service.get("engagement", nothing)
    return Figures(
        touchpoints=total(ingest, "rapport_ingest_touchpoints_total", outcome="accepted"),
        rejected=total(ingest, "rapport_ingest_touchpoints_total", outcome="rejected"),
        profiles=total(profile, "rapport_profile_profiles"),
        changes=total(profile, "rapport_consumer_records_total", topic="touchpoints", outcome="handled"),
        segment_changes=total(by_service.get("segmentation", nothing), "rapport_segment_edges_total"),
        messages=total(engagement, "rapport_engagement_messages_total", outcome="sent"),
        points=total(by_service.get("loyalty", nothing), "rapport_loyalty_points_total", "rapport_loyalty_points_earned_total"),
        lag={
            name: lag
            for name, samples in by_service.items()
            if (lag := total(samples, "rapport_consumer_lag_records")) is not None
        },
    )


def compute_rates(before: Figures, after: Figures, seconds: float) -> dict[str, float]:
    """How fast each number grew, a second. A counter that fell belongs to a process that began anew: no rate then."""
    rates: dict[str, float] = defaultdict(float)
    for name in ("touchpoints", "rejected", "profiles", "changes", "segment_changes", "messages", "points"):
        old, new = getattr(before, name), getattr(after, name)
        if old is not None and new is not None and new >= old and seconds > 0:
            rates[name] = (new - old) / seconds
    return rates
