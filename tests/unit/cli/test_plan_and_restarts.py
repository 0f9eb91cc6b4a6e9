import pytest

from cli.errors import CliError
from cli.restarts import LONGEST_WAIT_S, STEADY_AFTER_S, RestartPlan, compute_wait_s
from cli.supervisor import make_plan


def test_everything_runs_when_nothing_is_chosen() -> None:
    plan = make_plan([], {})
    assert set(plan.backing) == {"kafka", "postgres", "redis", "mail"}
    assert all(service.exists for service in plan.services)


def test_addresses_in_the_environment_win() -> None:
    plan = make_plan([], {"RAPPORT_KAFKA": "broker:9092", "RAPPORT_POSTGRES": "postgresql://db/x"})
    assert set(plan.backing) == {"redis", "mail"}


def test_a_service_brings_the_database_and_the_broker_along() -> None:
    plan = make_plan(["loyalty"], {})
    assert set(plan.backing) == {"kafka", "postgres"}
    assert [service.name for service in plan.services] == ["loyalty"]


def test_backing_parts_alone_bring_no_service() -> None:
    plan = make_plan(["redis"], {})
    assert (plan.backing, plan.services) == (("redis",), ())


def test_an_unknown_part_is_refused_with_the_known_ones() -> None:
    with pytest.raises(CliError) as refused:
        make_plan(["kafak"], {})
    assert "kafka" in refused.value.hint


def test_ports_that_the_operator_named_are_kept_and_zero_is_any_free_one() -> None:
    plan = make_plan(["ingest", "profile"], {"INGEST_PORT": "18080", "PROFILE_PORT": "0", "LOYALTY_PORT": "18080"})
    assert plan.ports == {"ingest": 18080, "profile": 0}
    assert make_plan(["ingest"], {"INGEST_PORT": ""}).ports == {}


@pytest.mark.parametrize("text", ["abc", "-1", "65536", "99999999", "8_0", "80.5"])
def test_what_is_no_port_is_refused_by_its_variable(text: str) -> None:
    with pytest.raises(CliError) as refused:
        make_plan(["ingest"], {"INGEST_PORT": text})
    assert refused.value.detail == f"INGEST_PORT is no port: {text}."


def test_one_port_is_not_for_two() -> None:
    with pytest.raises(CliError) as refused:
        make_plan([], {"INGEST_PORT": "18080", "LOYALTY_PORT": "18080"})
    assert refused.value.detail == "ingest and loyalty are both given port 18080."
    assert "LOYALTY_PORT" in refused.value.hint


def test_a_plan_for_nothing_is_refused() -> None:
    with pytest.raises(CliError) as refused:
        make_plan(["redis"], {"RAPPORT_REDIS": "redis://elsewhere"})
    assert refused.value.hint == "Unset RAPPORT_REDIS."


def test_waits_double_up_to_a_limit() -> None:
    assert [compute_wait_s(failures) for failures in (1, 2, 3)] == [0.5, 1.0, 2.0]
    assert compute_wait_s(1000) == LONGEST_WAIT_S


def test_a_part_that_keeps_failing_waits_longer_each_time() -> None:
    plan = RestartPlan(started_at=0.0)
    assert plan.note_ended(1.0) == 0.5
    assert not plan.is_due(1.4)
    assert plan.is_due(1.5)
    plan.note_started(1.5)
    assert plan.note_ended(2.0) == 1.0
    assert plan.restarts == 2


def test_a_part_that_ran_for_long_begins_anew() -> None:
    plan = RestartPlan(started_at=0.0, failures_in_a_row=6)
    assert plan.note_ended(STEADY_AFTER_S) == 0.5
