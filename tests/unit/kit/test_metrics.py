import pytest

from libs.kit.metrics import counter, gauge, histogram, render_metrics


def test_a_metric_is_made_once_and_prefixed() -> None:
    made = counter("unit_test_things_total", "Things.", ("kind",))
    assert counter("rapport_unit_test_things_total", "Things.", ("kind",)) is made
    made.labels("small").inc(2)
    assert b'rapport_unit_test_things_total{kind="small"} 2.0' in render_metrics()


def test_gauges_and_histograms_are_kept_too() -> None:
    assert gauge("unit_test_level", "Level.") is gauge("unit_test_level", "Level.")
    assert histogram("unit_test_s", "Time.") is histogram("unit_test_s", "Time.")


def test_one_name_is_one_kind_of_metric() -> None:
    counter("unit_test_kind_total", "A counter.")
    with pytest.raises(TypeError):
        gauge("unit_test_kind_total", "Not a counter.")
    with pytest.raises(TypeError):
        histogram("unit_test_kind_total", "Not a counter.")
    gauge("unit_test_gauge", "A gauge.")
    with pytest.raises(TypeError):
        counter("unit_test_gauge", "Not a gauge.")


def test_the_process_itself_is_measured() -> None:
    assert b"process_cpu_seconds_total" in render_metrics()
