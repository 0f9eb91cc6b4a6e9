"""Who publishes and who follows a topic is declared once, in libs/events/topics.py; here it meets what the services do."""

import ast
import re
from typing import get_args

import pytest

from libs.events.topics import TOPICS, Service, dead_letter_topic
from tests.contract.events import wiring

EXISTING = [service for service in wiring.ALL_SERVICES if wiring.exists(service)]
each_service = pytest.mark.parametrize("service", EXISTING)


@each_service
def test_a_service_follows_exactly_the_topics_it_is_declared_for(service: str) -> None:
    assert wiring.wired_consumptions(service).keys() == wiring.declared_consumptions(service).keys()


@each_service
def test_a_service_handles_only_events_its_topics_carry(service: str) -> None:
    declared = wiring.declared_consumptions(service)
    for topic, types in wiring.wired_consumptions(service).items():
        assert types, f"{service} follows {topic} for nothing"
        assert types <= declared[topic]


@each_service
def test_a_service_publishes_exactly_what_it_is_declared_for(service: str) -> None:
    declared = wiring.declared_productions(service)
    assert wiring.wired_productions(service) == declared
    assert wiring.stated_productions(service) in (None, declared)


def test_every_event_on_a_topic_is_handled_by_somebody() -> None:
    wired = {service: wiring.wired_consumptions(service) for service in EXISTING}
    for name, topic in TOPICS.items():
        if all(map(wiring.exists, topic.consumers)):
            handled = set().union(*(wired[service].get(name, set()) for service in topic.consumers))
            assert handled == {event.TYPE for event in topic.events}, name


def test_topics_are_declared_in_good_order() -> None:
    events: list[type] = []
    for name, topic in TOPICS.items():
        assert name == topic.name
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", name)
        # A topic whose owner doesn't publish it yet has no producer at all.
        assert not topic.producers or topic.owner in topic.producers
        assert set(topic.producers) | set(topic.consumers) <= set(get_args(Service))
        assert len(set(topic.producers)) == len(topic.producers)
        assert len(set(topic.consumers)) == len(topic.consumers)
        assert topic.consumers
        assert topic.partitions > 0
        assert topic.compact is (topic.retention_ms is None)
        events += topic.events
    assert len(set(events)) == len(events)


def test_dead_letter_topics_are_told_apart() -> None:
    names = [dead_letter_topic(consumer, topic.name) for topic in TOPICS.values() for consumer in topic.consumers]
    assert len(set(names) | set(TOPICS)) == len(names) + len(TOPICS)


def test_the_reader_of_source_code_finds_what_is_published() -> None:
    source = """
from libs.events import codec, topics
from libs.events.topics import LOYALTY_EVENTS
def a(): return codec.encode(event, topic=topics.SEGMENT_CHANGES, key=key)
async def b(): return [encode(event, topic=LOYALTY_EVENTS) for event in events]
def c(): return "text".encode("utf-8")
"""
    assert sorted(wiring._encoded_topics(ast.parse(source))) == ["loyalty-events", "segment-changes"]
