"""The embedded stack: every part survives kill -9 with its data and comes back on its port; nothing outlives its starter."""

import os
import signal
import smtplib
import socket
import subprocess
import sys
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from uuid import uuid4

import asyncpg
import psutil
import pytest

from cli.mailbox import list_mail
from deploy import local
from deploy.local.errors import HomeInUse
from deploy.local.kafka_tools import TOOLS, build_tool_arguments, build_tool_command
from deploy.local.ports import HOST, is_free
from deploy.local.postgres import Postgres
from deploy.local.redis_server import RedisServer, find_redis
from libs.events.envelope import Outgoing
from libs.kit.settings import PlatformSettings
from libs.messaging.producer import KafkaPublisher
from libs.messaging.tail import LogTail
from tests.support.eventually import eventually, eventually_sync

ANY_PORTS = {"kafka": 0, "postgres": 0, "redis": 0, "mail": 0}
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def own_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[local.LocalStack]:
    """A stack that these tests may break."""
    with local.start(tmp_path_factory.mktemp("own"), ports=ANY_PORTS) as running:
        yield running


def run_tool(tool: str, *arguments: str, bootstrap: str) -> str:
    command = build_tool_command(
        TOOLS[tool], build_tool_arguments(TOOLS[tool], arguments, bootstrap=bootstrap, client_config=None)
    )
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


async def publish(kafka: str, topic: str, value: bytes) -> None:
    publisher = KafkaPublisher(PlatformSettings(kafka=kafka), client_id="test")
    await publisher.start()
    try:
        await publisher.publish([Outgoing(topic, b"key", value, ())])
    finally:
        await publisher.stop()


async def test_acknowledged_records_survive_a_killed_broker(own_stack: local.LocalStack) -> None:
    kafka = own_stack.kafka
    topic = f"kept-{uuid4().hex[:8]}"
    run_tool("topics", "--create", "--topic", topic, "--partitions", "2", bootstrap=kafka.address)
    await publish(kafka.address, topic, b"before the kill")
    address = kafka.address

    kafka.kill()
    assert not kafka.is_running
    kafka.restart()

    assert kafka.address == address
    assert topic in run_tool("topics", "--list", bootstrap=address).split()
    tail = LogTail(PlatformSettings(kafka=address), [topic])
    try:
        records = await eventually(lambda: tail.latest(10))
        assert [record.value for record in records] == [b"before the kill"]
        await publish(address, topic, b"after it")
        records = await eventually(lambda: tail.latest(10))
        assert [record.value for record in records] == [b"after it"]
    finally:
        await tail.close()


async def test_committed_rows_survive_a_killed_database(own_stack: local.LocalStack) -> None:
    postgres = own_stack.postgres
    connection = await asyncpg.connect(postgres.address)
    await connection.execute("CREATE TABLE kept (word text)")
    await connection.execute("INSERT INTO kept VALUES ('committed')")
    await connection.execute("BEGIN; INSERT INTO kept VALUES ('not committed')")
    port = postgres.port

    postgres.kill()
    connection.terminate()
    postgres.restart()

    assert postgres.port == port
    connection = await asyncpg.connect(postgres.address)
    try:
        assert [row["word"] for row in await connection.fetch("SELECT word FROM kept")] == ["committed"]
        assert await connection.fetchval("SHOW fsync") == "on"
    finally:
        await connection.close()


async def test_a_lock_file_with_the_pid_of_a_living_stranger_does_not_keep_the_database_down(own_stack: local.LocalStack) -> None:
    postgres = own_stack.postgres
    postgres.kill()
    lock = postgres.cluster / "postmaster.pid"
    lines = lock.read_text().splitlines()
    lock.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    postgres.start()
    connection = await asyncpg.connect(postgres.address)
    await connection.close()


def test_redis_comes_back_empty_on_its_port(own_stack: local.LocalStack) -> None:
    if own_stack.redis is None:
        assert find_redis() is None
        return
    port = own_stack.redis.port
    own_stack.redis.kill()
    assert is_free(port)
    own_stack.redis.restart()
    assert own_stack.redis.port == port
    assert own_stack.redis.is_ready()


def test_mail_is_kept_over_a_kill(own_stack: local.LocalStack) -> None:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "shop@example.com", "ada@example.com", "Thank you"
    message.set_content("for the order")

    def send() -> None:
        with smtplib.SMTP(HOST, own_stack.mail.port, timeout=10) as server:
            server.send_message(message)

    send()
    own_stack.mail.kill()
    own_stack.mail.restart()
    send()
    listed = list_mail(own_stack.mail.data, 10)
    assert [(one.to, one.subject) for one in listed] == [("ada@example.com", "Thank you")] * 2


def test_one_home_runs_one_stack(own_stack: local.LocalStack) -> None:
    with pytest.raises(HomeInUse):
        local.start(own_stack.home, only=("redis",), ports=ANY_PORTS)


def test_another_port_is_taken_when_the_usual_one_is_not_free(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind((HOST, 0))
        holder.listen()
        taken = holder.getsockname()[1]
        with local.start(tmp_path, only=("mail",), ports={"mail": taken}) as running:
            assert running.mail.port != taken


def test_a_stop_is_clean_and_a_second_one_harmless(tmp_path: Path) -> None:
    running = local.start(tmp_path, only=("postgres",), ports=ANY_PORTS)
    running.stop()
    running.stop()
    assert running.postgres.exit_code == 0
    assert not (running.postgres.cluster / "postmaster.pid").exists()
    assert is_free(running.postgres.port)


def start_elsewhere(home: Path) -> tuple[subprocess.Popen[str], list[psutil.Process], psutil.Process]:
    """A starter in a process of its own: it, what it started, and the warden."""
    starter = subprocess.Popen(
        [sys.executable, "-m", "tests.support.starter", str(home)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert starter.stdout is not None
    *parts, warden = (psutil.Process(int(pid)) for pid in starter.stdout.readline().split())
    return starter, parts, warden


def is_gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_nothing_outlives_a_killed_starter(tmp_path: Path) -> None:
    starter, parts, warden = start_elsewhere(tmp_path)
    starter.kill()
    starter.communicate()
    eventually_sync(lambda: all(is_gone(process) for process in (*parts, warden)))


def test_a_terminated_starter_takes_its_parts_along(tmp_path: Path) -> None:
    starter, parts, _ = start_elsewhere(tmp_path)
    starter.send_signal(signal.SIGTERM)
    starter.communicate()
    eventually_sync(lambda: all(is_gone(process) for process in parts))


def test_leftovers_of_a_starter_and_warden_killed_together_are_cleared_away_at_the_next_start(tmp_path: Path) -> None:
    starter, parts, warden = start_elsewhere(tmp_path)
    warden.kill()
    starter.kill()
    starter.communicate()
    assert not any(is_gone(process) for process in parts)
    with local.start(tmp_path, only=("postgres", "redis"), ports=ANY_PORTS) as running:
        assert all(is_gone(process) for process in parts)
        assert isinstance(running.parts["postgres"], Postgres)
        assert running.redis is None or isinstance(running.redis, RedisServer)
