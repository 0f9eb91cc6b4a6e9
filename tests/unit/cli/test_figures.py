from cli.figures import Figures, compute_figures, compute_rates, parse_metrics, total
from cli.live import Screen, render_line
from cli.lookout import Look

TEXT = """\
# HELP rapport_ingest_touchpoints_total Touchpoints by what became of them.
# TYPE rapport_ingest_touchpoints_total counter
rapport_ingest_touchpoints_total{outcome="accepted"} 120.0
rapport_ingest_touchpoints_total{outcome="rejected"} 3.0
rapport_consumer_lag_records{group="ingest",topic="touchpoint-rejections",partition="0"} 4.0
rapport_consumer_lag_records{group="ingest",topic="touchpoint-rejections",partition="1"} 1.0
half a line
"""


def test_metrics_are_read_and_added_up_by_label() -> None:
    samples = parse_metrics(TEXT)
    assert total(samples, "rapport_ingest_touchpoints_total") == 123
    assert total(samples, "rapport_ingest_touchpoints_total", outcome="accepted") == 120
    assert total(samples, "rapport_other", "rapport_consumer_lag_records") == 5


def test_what_a_service_does_not_count_is_unknown_and_not_zero() -> None:
    figures = compute_figures({"ingest": parse_metrics(TEXT), "profile": {}})
    assert (figures.touchpoints, figures.profiles) == (120, None)
    assert figures.lag == {"ingest": 5}


def test_rates_are_growth_by_time_and_a_restart_is_no_negative_growth() -> None:
    before = Figures(touchpoints=100, profiles=50, messages=7)
    after = Figures(touchpoints=150, profiles=10, messages=None)
    assert dict(compute_rates(before, after, 2.0)) == {"touchpoints": 25.0}


def test_the_plain_line_says_what_is_known() -> None:
    screen = Screen()
    assert render_line(screen) == "waiting for figures"
    screen.take(Look({}, Figures(touchpoints=1000, lag={"profile": 2})), 0.0)
    screen.take(Look({}, Figures(touchpoints=3000, lag={"profile": 2})), 1.0)
    assert render_line(screen) == "touchpoints accepted 3,000 (2,000/s), behind 2"
