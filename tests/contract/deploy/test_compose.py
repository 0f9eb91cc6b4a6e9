"""The compose file says what the services really read: no engine is needed to find a misspelt variable or a wrong port."""

import importlib
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import typer
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from cli.catalogue import SERVICES
from cli.main import build_app
from deploy.local import browser_sdk
from libs.kit.settings import PlatformSettings, ServiceSettings

ROOT = Path(__file__).parents[3]
NAMES = [service.name for service in SERVICES]
DOCKERFILE = (ROOT / "deploy/docker/Dockerfile").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
    return loaded


def settings_of(service: str) -> type[ServiceSettings]:
    settings: type[ServiceSettings] = importlib.import_module(f"services.{service}.settings").Settings
    return settings


def test_the_file_is_what_the_compose_specification_allows(compose: dict[str, Any]) -> None:
    schema = json.loads(Path(__file__).with_name("compose-spec.json").read_text(encoding="utf-8"))
    assert [error.message for error in jsonschema_rs.validator_for(schema).iter_errors(compose)] == []


def test_every_service_of_the_platform_runs(compose: dict[str, Any]) -> None:
    assert set(compose["services"]) == {*NAMES, "kafka", "postgres", "redis", "mail", "setup"}


@pytest.mark.parametrize("name", [*NAMES, "setup"])
def test_every_variable_is_one_that_a_service_reads(compose: dict[str, Any], name: str) -> None:
    prefix = f"{name.upper()}_"
    own = set(settings_of(name).model_fields) - {"platform"} if name in NAMES else set()
    for variable in compose["services"][name]["environment"]:
        if variable.startswith("RAPPORT_"):
            assert variable.removeprefix("RAPPORT_").lower() in PlatformSettings.model_fields, variable
        elif variable != "PORT":  # the Dockerfile's health check reads it
            assert variable.startswith(prefix), variable
            assert variable.removeprefix(prefix).lower() in own, variable
    assert "os.environ['PORT']" in DOCKERFILE


@pytest.mark.parametrize("service", SERVICES, ids=NAMES)
def test_ports_and_commands_are_the_services_own(compose: dict[str, Any], service: Any) -> None:
    entry = compose["services"][service.name]
    port = str(settings_of(service.name).model_fields["port"].default)
    assert int(port) == service.port
    environment = entry["environment"]
    assert (environment["PORT"], environment[service.port_variable]) == (port, port)
    assert entry["ports"] == [f"{port}:{port}"]
    module, mode = entry["command"]
    assert (module, mode) == (service.module, "all")
    assert importlib.import_module(module).build


def test_whatever_holds_the_identity_key_is_one_volume_for_all(compose: dict[str, Any]) -> None:
    home = compose["services"]["setup"]["environment"]["RAPPORT_HOME"]
    for name in (*NAMES, "setup"):
        entry = compose["services"][name]
        assert entry["environment"]["RAPPORT_HOME"] == home
        assert home in [volume.partition(":")[2] for volume in entry["volumes"]]
    assert f"--home-dir {home}" in DOCKERFILE, "the image's own user owns the folder"
    assert set(compose["volumes"]) >= {"rapport", "kafka", "postgres"}


def test_the_spool_lies_on_a_volume_of_ingest_alone_that_the_images_user_may_write(compose: dict[str, Any]) -> None:
    folder = compose["services"]["ingest"]["environment"]["INGEST_SPOOL_DIR"]
    users = [name for name, entry in compose["services"].items() if f"spool:{folder}" in entry.get("volumes", [])]
    assert users == ["ingest"]
    assert "spool" in compose["volumes"]
    assert f"--owner rapport --group rapport --mode 0700 {folder}" in DOCKERFILE


def test_the_setup_step_speaks_commands_that_exist(compose: dict[str, Any]) -> None:
    command = typer.main.get_command(build_app())
    (line,) = compose["services"]["setup"]["command"]
    for step in line.split("&&"):
        program, *words = step.split()
        assert program == "rapport"
        place: Any = command
        for word in words:
            assert word in place.commands, step
            place = place.commands[word]


def test_nothing_starts_before_what_it_needs(compose: dict[str, Any]) -> None:
    for name in NAMES:
        assert compose["services"][name]["depends_on"] == {"setup": {"condition": "service_completed_successfully"}}
    needed = compose["services"]["setup"]["depends_on"]
    assert needed == {part: {"condition": "service_healthy"} for part in ("kafka", "postgres", "redis")}
    assert all("healthcheck" in compose["services"][part] for part in needed)


def test_the_image_copies_what_the_distribution_is_made_of() -> None:
    copied = set(re.findall(r"^COPY (\w+) \w+$", DOCKERFILE, re.MULTILINE))
    assert copied >= {"libs", "services", "cli", "deploy"}
    assert "USER rapport" in DOCKERFILE


def test_the_image_has_the_browser_sdk_that_the_local_stack_fetches() -> None:
    assert f"npm pack --silent --ignore-scripts {browser_sdk.PACKAGE}@{browser_sdk.VERSION} " in DOCKERFILE
    assert browser_sdk.SHA256 in DOCKERFILE
    copied = re.search(r"^COPY --from=browser-sdk /src/package (\S+)$", DOCKERFILE, re.MULTILINE)
    assert copied is not None
    assert f"INGEST_ANALYTICS_JS={copied[1]} " in DOCKERFILE


@pytest.mark.parametrize(("lock", "extras"), [("requirements.lock", True), ("deploy/docker/requirements.lock", False)])
def test_the_locks_know_every_dependency_and_name_no_host(lock: str, *, extras: bool) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = list(project["dependencies"])
    if extras:
        wanted += [line for group in project["optional-dependencies"].values() for line in group]
    text = (ROOT / lock).read_text(encoding="utf-8")
    locked = {
        Requirement(line.split(" \\")[0].split(" --")[0]).name.lower()
        for line in text.splitlines()
        if re.match(r"^[\w.-]+==", line)
    }
    missing = [
        line for line in wanted if canonicalize_name(Requirement(line).name) not in {canonicalize_name(name) for name in locked}
    ]
    assert missing == [], "run `make lock`"
    assert "://" not in text
