import os
from pathlib import Path

import psutil

from deploy.local.records import ProcessRecord, find_process, find_recorded, load_record, remove_record, save_record


def test_a_record_comes_back_as_it_was_written(tmp_path: Path) -> None:
    record = ProcessRecord("kafka", 1234, 99.5, 9092)
    save_record(tmp_path, record)
    assert load_record(tmp_path, "kafka") == record
    remove_record(tmp_path, "kafka")
    assert load_record(tmp_path, "kafka") is None


def test_an_unreadable_record_is_no_record(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "kafka.json").write_text('{"pid": ')
    assert load_record(tmp_path, "kafka") is None
    (tmp_path / "run" / "kafka.json").write_text('{"pid": 1}')
    assert load_record(tmp_path, "kafka") is None


def test_a_pid_that_another_process_has_by_now_is_nobody() -> None:
    created = psutil.Process().create_time()
    assert find_process(os.getpid(), created) is not None
    assert find_process(os.getpid(), created - 3600) is None
    assert find_recorded(None) is None
