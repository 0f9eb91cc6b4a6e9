from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from cli.addresses import DEV_API_KEY, find_endpoints
from cli.homes import RunningPart, RunningPlatform, load_platform, remove_platform, save_platform


def make_platform() -> RunningPlatform:
    me = psutil.Process()
    part = RunningPart("ingest", "ingest", "http://127.0.0.1:18080", 1, "/log")
    return RunningPlatform(
        me.pid, me.create_time(), True, {"RAPPORT_KAFKA": "k:1"}, {"ingest": "http://127.0.0.1:18080"}, (part,)
    )


def test_what_runs_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    save_platform(tmp_path, make_platform())
    assert load_platform(tmp_path) == make_platform()
    remove_platform(tmp_path)
    assert load_platform(tmp_path) is None


def test_a_platform_whose_supervisor_is_gone_does_not_run(tmp_path: Path) -> None:
    save_platform(tmp_path, replace(make_platform(), created=1.0))
    assert load_platform(tmp_path) is None


def test_a_torn_note_is_no_platform(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text('{"pid": 1')
    assert load_platform(tmp_path) is None


def test_endpoints_are_the_environments_then_the_running_ones_then_the_usual_ones(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RAPPORT_PROFILE_URL", "https://profile.example/")
    for name in ("RAPPORT_INGEST_URL", "RAPPORT_LOYALTY_URL", "RAPPORT_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    save_platform(tmp_path, make_platform())
    endpoints = find_endpoints(tmp_path)
    assert endpoints.url("profile") == "https://profile.example"
    assert endpoints.url("ingest") == "http://127.0.0.1:18080"
    assert endpoints.url("loyalty") == "http://127.0.0.1:8084"
    assert endpoints.api_key == DEV_API_KEY
