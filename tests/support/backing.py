"""Where tests get Kafka, PostgreSQL and Redis from: the first that works of environment, testcontainers, deploy/local."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

Origin = Literal["environment", "testcontainers", "deploy/local"]
KAFKA_IMAGE = "confluentinc/cp-kafka:8.1.0"
POSTGRES_IMAGE = "postgres:18-alpine"
REDIS_IMAGE = "redis:8-alpine"


@dataclass(frozen=True, slots=True)
class Stack:
    """Addresses. `postgres` names a server where databases may be created; ask for `database_dsn` to get one."""

    kafka: str
    postgres: str
    redis: str | None
    origin: Origin


@lru_cache
def choose_origin() -> Origin:
    if os.environ.get("RAPPORT_KAFKA") and os.environ.get("RAPPORT_POSTGRES"):
        return "environment"
    return "testcontainers" if _is_docker_running() else "deploy/local"


def _is_docker_running() -> bool:
    """A client without an engine is no Docker. Its socket is looked for first: importing the client takes half a second."""
    if not os.environ.get("DOCKER_HOST") and not Path("/var/run/docker.sock").exists():
        return False
    import docker
    from docker.errors import DockerException

    try:
        client = docker.from_env(timeout=3)
        client.ping()
    except (DockerException, OSError):
        return False
    client.close()
    return True


@contextmanager
def open_stack(home: Path) -> Iterator[Stack]:
    origin = choose_origin()
    if origin == "environment":
        yield Stack(os.environ["RAPPORT_KAFKA"], os.environ["RAPPORT_POSTGRES"], os.environ.get("RAPPORT_REDIS") or None, origin)
    elif origin == "testcontainers":
        with _open_containers() as stack:
            yield stack
    else:
        with _open_local(home) as stack:
            yield stack


@contextmanager
def _open_local(home: Path) -> Iterator[Stack]:
    from deploy import local

    with local.start(home, only=("postgres", "redis", "kafka"), ports={"kafka": 0, "postgres": 0, "redis": 0}) as running:
        redis = running.redis.address if running.redis is not None else None
        yield Stack(running.kafka.address, running.postgres.address, redis, "deploy/local")


@contextmanager
def _open_containers() -> Iterator[Stack]:
    from testcontainers.kafka import KafkaContainer
    from testcontainers.postgres import PostgresContainer
    from testcontainers.redis import RedisContainer

    with ExitStack() as opened:
        kafka = KafkaContainer(KAFKA_IMAGE).with_kraft().with_env("KAFKA_AUTO_CREATE_TOPICS_ENABLE", "false")
        kafka.with_env("KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS", "1000")
        postgres = PostgresContainer(POSTGRES_IMAGE, username="rapport", password="rapport", dbname="rapport", driver=None)
        postgres.with_command("postgres -c max_connections=200")
        redis = RedisContainer(REDIS_IMAGE)
        for container in (kafka, postgres, redis):
            opened.enter_context(container)
        redis_url = f"redis://{redis.get_container_host_ip()}:{redis.get_exposed_port(6379)}/0"
        yield Stack(kafka.get_bootstrap_server(), postgres.get_connection_url(), redis_url, "testcontainers")
