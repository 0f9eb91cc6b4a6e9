from pathlib import Path

from deploy.local.class_archive import ensure_archive, find_archive


def make_java(folder: Path, script: str) -> Path:
    java = folder / "java"
    java.write_text(f"#!/bin/sh\n{script}\n")
    java.chmod(0o755)
    return java


def test_a_java_that_can_make_no_archive_is_asked_once(tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    java = make_java(tmp_path, f"echo x >> {asked}; exit 1")
    jars = tmp_path / "jars"
    assert ensure_archive(java, jars, "a.jar") is None
    assert ensure_archive(java, jars, "a.jar") is None
    assert find_archive(java, jars) is None
    assert asked.read_text() == "x\n"


def test_an_archive_is_made_once_for_each_java(tmp_path: Path) -> None:
    script = 'for option; do case $option in -XX:SharedArchiveFile=*) echo data > "${option#*=}";; esac; done'
    first = make_java(tmp_path, script)
    (tmp_path / "other").mkdir()
    second = make_java(tmp_path / "other", script)
    jars = tmp_path / "jars"
    made = ensure_archive(first, jars, "a.jar")
    assert made is not None
    assert made == ensure_archive(first, jars, "a.jar") == find_archive(first, jars)
    assert ensure_archive(second, jars, "a.jar") != made
