"""What the services say of their own wiring, read without starting them."""

import ast
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import get_args

from libs.events import topics
from libs.events.topics import TOPICS, Service, Topic

SERVICES = Path(__file__).parents[3] / "services"
ALL_SERVICES: tuple[Service, ...] = get_args(Service)
TOPIC_NAMES = {name: value.name for name, value in vars(topics).items() if isinstance(value, Topic)}
"""Constant of libs.events.topics -> topic."""


def exists(service: str) -> bool:
    """A service without a composition root hasn't been written yet."""
    return (SERVICES / service / "main.py").is_file()


def declared_consumptions(service: str) -> dict[str, set[str]]:
    """Topic -> event types it may carry, for the topics the service is a declared consumer of."""
    return {name: {event.TYPE for event in topic.events} for name, topic in TOPICS.items() if service in topic.consumers}


def wired_consumptions(service: str) -> dict[str, set[str]]:
    """The same as `ROUTES` of services.<service>.consumer says it; a service without the module follows nothing."""
    consumer = find_consumer(service)
    return {} if consumer is None else {topic: set(types) for topic, types in consumer.ROUTES.items()}


def find_consumer(service: str) -> ModuleType | None:
    name = f"services.{service}.consumer"
    return importlib.import_module(name) if importlib.util.find_spec(name) else None


def declared_productions(service: str) -> set[str]:
    return {name for name, topic in TOPICS.items() if service in topic.producers}


def wired_productions(service: str) -> set[str]:
    """Every topic that the service's code encodes a record for: `encode(..., topic=<constant>)`, wherever it stands."""
    return {
        topic for path in sorted((SERVICES / service).rglob("*.py")) for topic in _encoded_topics(ast.parse(path.read_text()))
    }


def stated_productions(service: str) -> set[str] | None:
    """What `EMITS` of services.<service>.consumer tells readers, where it does."""
    emits = getattr(find_consumer(service), "EMITS", None)
    return None if emits is None else set(emits)


def _encoded_topics(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _last_name(node.func) == "encode":
            for keyword in node.keywords:
                if keyword.arg == "topic":
                    constant = _last_name(keyword.value)
                    assert constant in TOPIC_NAMES, (
                        f"line {node.lineno}: name the topic by its constant, so that readers and we see it"
                    )
                    yield TOPIC_NAMES[constant]


def _last_name(node: ast.expr) -> str:
    match node:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
        case _:
            return ""
