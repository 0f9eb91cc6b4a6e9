"""A port that the operator named is that one or an error; a usual one that is taken may move."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.errors import CliError
from cli.supervisor import Plan, Supervisor, make_plan
from deploy.local.errors import HomeInUse, HomeUnusable, PortTaken
from deploy.local.kafka import Kafka
from deploy.local.ports import ANY_FREE, HOST, find_free
from deploy.local.stack import LocalStack, is_home_in_use, prepare_home
from tests.support.platform import describe_platform


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server((HOST, 0)) as listening:
        port: int = listening.getsockname()[1]
        yield port


@pytest.fixture
def empty_stack(tmp_path: Path) -> Iterator[LocalStack]:
    with LocalStack(tmp_path / "home") as stack:
        yield stack


def test_a_taken_port_is_not_reserved_and_a_reserved_one_is_given_to_nobody(empty_stack: LocalStack, taken_port: int) -> None:
    with pytest.raises(PortTaken):
        empty_stack.reserve_port("profile", taken_port)
    free = find_free()
    empty_stack.reserve_port("profile", free)
    with pytest.raises(PortTaken):
        empty_stack.reserve_port("ingest", free)
    assert empty_stack.choose_port("kafka", free) != free


def test_the_second_port_of_the_broker_keeps_off_reserved_ones(empty_stack: LocalStack) -> None:
    first = find_free()
    assert Kafka(empty_stack.home, first, taken={first + 1}).controller_port != first + 1


def test_a_platform_whose_named_port_is_taken_starts_nothing(tmp_path: Path, taken_port: int) -> None:
    plan = make_plan(["profile"], {"PROFILE_PORT": str(taken_port)})
    supervisor = Supervisor(tmp_path / "home", plan, lambda _: None)
    try:
        with pytest.raises(CliError) as refused:
            supervisor.start()
        assert refused.value.detail == f"Port {taken_port}, which profile was given, isn't free."
        assert "PROFILE_PORT" in refused.value.hint
        assert supervisor.stack.parts == {}
    finally:
        supervisor.stop()


def test_a_usual_port_that_is_taken_moves_and_is_told(tmp_path: Path, taken_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    supervisor = Supervisor(tmp_path / "home", Plan(("mail",), ()), told.append, usual_ports={"mail": taken_port})
    try:
        supervisor.start()
        port = supervisor.stack.mail.port
        assert port not in {taken_port, ANY_FREE}
        assert f"port {taken_port} is taken: mail gets {port}" in told
    finally:
        supervisor.stop()


def test_up_detached_tells_which_port_and_what_to_do(tmp_path: Path, taken_port: int) -> None:
    refused = describe_platform(tmp_path / "home", {"PROFILE_PORT": str(taken_port)}).start(["profile"])
    assert refused.returncode == 1
    said = refused.stderr.splitlines()
    assert said[-2] == f"error: The platform didn't start: Port {taken_port}, which profile was given, isn't free."
    assert "PROFILE_PORT" in said[-1]


@pytest.mark.parametrize("arguments", [("up",), ("up", "--detach")])
def test_a_home_in_use_is_told_in_the_same_words_in_front_and_behind(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    home = tmp_path / "home with spaces"
    with LocalStack(home):
        refused = describe_platform(home).rapport(*arguments, "--only", "mail", check=False)
    assert refused.returncode == 1
    assert refused.stderr.splitlines() == [
        f"error: A platform already runs in {home}.",
        "hint:  `rapport status` shows it, `rapport down` stops it.",
    ]


def test_looking_whether_a_home_is_in_use_writes_nothing(tmp_path: Path) -> None:
    assert not is_home_in_use(tmp_path)
    assert list(tmp_path.iterdir()) == []
    prepare_home(tmp_path)
    assert not is_home_in_use(tmp_path)
    with LocalStack(tmp_path):
        assert is_home_in_use(tmp_path)
        with pytest.raises(HomeInUse):
            prepare_home(tmp_path)


def test_a_home_below_a_file_is_refused_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HomeUnusable, match="Not a directory"):
        LocalStack(tmp_path / "file" / "home")
