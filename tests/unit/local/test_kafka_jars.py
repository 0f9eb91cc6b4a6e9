import hashlib
import xml.etree.ElementTree as ET
from pathlib import Path

from deploy.local.kafka_jars import CHECKSUMS, VERSION, build_class_path, find_difference, parse_checksums, render_pom


def test_the_class_path_names_every_jar_in_one_order(tmp_path: Path) -> None:
    for name in ("b.jar", "a.jar", "notes.txt"):
        (tmp_path / name).touch()
    assert build_class_path(tmp_path) == f"{tmp_path / 'a.jar'}:{tmp_path / 'b.jar'}"


def test_the_project_file_asks_maven_for_each_coordinate() -> None:
    project = ET.fromstring(render_pom(("org.apache.kafka:kafka_2.13:4.1.0", "a:b:1")))  # noqa: S314 our own text
    space = "{http://maven.apache.org/POM/4.0.0}"
    assert [one.text for one in project.iter(f"{space}artifactId")] == ["broker", "kafka_2.13", "b"]


def test_the_recorded_checksums_belong_to_the_version_that_is_fetched() -> None:
    recorded = parse_checksums(CHECKSUMS.read_text())
    assert f"kafka-clients-{VERSION}.jar" in recorded
    assert f"kafka-tools-{VERSION}.jar" in recorded
    assert all(len(digest) == 64 for digest in recorded.values())


def test_jars_other_than_the_recorded_ones_are_told_apart(tmp_path: Path) -> None:
    recorded = tmp_path / "list.sha256"
    recorded.write_text(f"{hashlib.sha256(b'right').hexdigest()}  a.jar\n")
    folder = tmp_path / "jars"
    folder.mkdir()
    assert find_difference(folder, recorded) == "a.jar is missing"
    (folder / "a.jar").write_bytes(b"wrong")
    assert find_difference(folder, recorded) == "a.jar isn't the file that was tested"
    (folder / "a.jar").write_bytes(b"right")
    assert find_difference(folder, recorded) == ""
    (folder / "b.jar").touch()
    assert find_difference(folder, recorded) == "b.jar is one too many"
