"""`dlq`: records that a consumer couldn't handle: how many, which, and sending them to that consumer once more."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cli.addresses import load_settings
from cli.errors import CliError, fail
from cli.homes import HOME_OPTION
from cli.output import STDOUT, make_table, print_json, say

if TYPE_CHECKING:
    from libs.messaging.dead_letters import DeadLetter

dlq = typer.Typer(help="Dead letters: records a consumer couldn't handle.", no_args_is_help=True)
CONSUMER = typer.Argument(..., help="The consumer that rejected them: a service's name.")
TOPIC = typer.Argument("", help="The topic they were in; may be left out where the consumer reads only one.")


def register(app: typer.Typer) -> None:
    app.add_typer(dlq, name="dlq")


@dlq.command("list")
def list_queues(
    everything: bool = typer.Option(False, "--all", "-a", help="Empty ones too."), home: Path | None = HOME_OPTION
) -> None:
    """How many lie where."""
    from libs.messaging.dead_letter_queues import list_dead_letter_queues

    queues = asyncio.run(list_dead_letter_queues(load_settings(home)))
    shown = [queue for queue in queues if queue.records or everything]
    table = make_table("consumer", "topic", "records", "never replayed")
    for queue in shown:
        table.add_row(queue.group, queue.topic, str(queue.records), str(queue.waiting))
    if shown:
        STDOUT.print(table)
    else:
        say("No dead letters.")


@dlq.command("show")
def show(
    consumer: str = CONSUMER,
    topic: str = TOPIC,
    offset: int = typer.Option(0, "--from", min=0, help="First offset in the dead-letter topic."),
    limit: int = typer.Option(20, "--limit", "-n", min=1),
    as_json: bool = typer.Option(False, "--json", help="Whole records, personal data included."),
    home: Path | None = HOME_OPTION,
) -> None:
    """Why each was rejected, and where it was."""
    from libs.messaging.dead_letter_queues import read_dead_letters

    name = resolve_topic(consumer, topic)
    letters = asyncio.run(read_dead_letters(load_settings(home), consumer, name, from_offset=offset, limit=limit))
    if as_json:
        print_json([describe(letter) for letter in letters])
        return
    table = make_table("offset", "failed at", "reason", "step", "type", "was at")
    for letter in letters:
        event_type = letter.headers.get("ce_type", b"").decode("utf-8", "replace")
        place = f"{letter.topic}/{letter.origin_partition}@{letter.origin_offset}"
        table.add_row(str(letter.offset), letter.failed_at, letter.reason, letter.step, event_type, place)
    STDOUT.print(table)


@dlq.command("replay")
def replay(
    consumer: str = CONSUMER,
    topic: str = TOPIC,
    offset: list[int] = typer.Option([], "--offset", "-o", min=0, help="Only these offsets; may be repeated."),
    limit: int | None = typer.Option(None, "--limit", "-n", min=1, help="At most so many."),
    home: Path | None = HOME_OPTION,
) -> None:
    """Send them to that consumer again, and to no other: all that were never replayed, or chosen ones."""
    sent = asyncio.run(send_again(home, consumer, resolve_topic(consumer, topic), offset, limit))
    say(f"{sent} sent to {consumer} again.")


async def send_again(home: Path | None, consumer: str, topic: str, offsets: list[int], limit: int | None) -> int:
    from libs.kit.clock import build_clock
    from libs.messaging.dead_letter_queues import replay_dead_letters
    from libs.messaging.producer import KafkaPublisher

    settings = load_settings(home)
    publisher = KafkaPublisher(settings, client_id="rapport-cli")
    await publisher.start()
    try:
        return await replay_dead_letters(
            settings,
            publisher,
            group=consumer,
            topic=topic,
            now=build_clock(settings).now(),
            offsets=offsets or None,
            limit=limit,
        )
    finally:
        await publisher.stop()


def resolve_topic(consumer: str, given: str) -> str:
    from libs.events.topics import TOPICS
    from libs.messaging.admin import declared_consumers

    groups = declared_consumers(TOPICS.values())
    if consumer not in groups:
        fail(f"There is no consumer {consumer}.", hint=f"Consumers: {', '.join(sorted(groups))}.")
    topics = sorted(groups[consumer])
    if given in topics:
        return given
    if not given and len(topics) == 1:
        return topics[0]
    detail = f"{consumer} doesn't read {given}." if given else f"Which topic of {consumer}?"
    raise CliError(detail, hint=f"Topics: {', '.join(topics)}.")


def describe(letter: "DeadLetter") -> dict[str, object]:
    return {
        "offset": letter.offset,
        "consumer": letter.group,
        "topic": letter.topic,
        "partition": letter.origin_partition,
        "origin_offset": letter.origin_offset,
        "reason": letter.reason,
        "step": letter.step,
        "failed_at": letter.failed_at,
        "key": None if letter.key is None else letter.key.decode("utf-8", "replace"),
        "headers": {name: value.decode("utf-8", "replace") for name, value in letter.headers.items()},
        "value": None if letter.value is None else letter.value.decode("utf-8", "replace"),
    }
