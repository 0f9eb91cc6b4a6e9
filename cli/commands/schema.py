"""`migrate` and `topics`: what the database and the broker must hold before a service starts."""

import asyncio
from pathlib import Path

import typer

from cli.addresses import load_settings
from cli.homes import HOME_OPTION
from cli.output import STDOUT, make_table, print_plain, say

topics = typer.Typer(help="The topics as libs/events/topics.py declares them.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.command("migrate")(migrate)
    app.add_typer(topics, name="topics")


def announce(text: str) -> None:
    say(text, style="dim")


def migrate(home: Path | None = HOME_OPTION) -> None:
    """Bring every schema to its newest version, and make the identity key and, outside production, the development keys."""
    from cli.preparation import prepare_database

    asyncio.run(prepare_database(load_settings(home), announce))
    say("All schemas are up to date.")


@topics.command("create")
def create_topics(home: Path | None = HOME_OPTION) -> None:
    """Create what is missing; what is there stays as it is. With RAPPORT_TOPICS_PRECREATED only check."""
    from cli.preparation import prepare_topics

    asyncio.run(prepare_topics(load_settings(home), announce))
    say("All topics are there.")


@topics.command("check")
def check_topics(home: Path | None = HOME_OPTION) -> int:
    """Whether every declared topic is there as declared. Exit code 1 when not."""
    from libs.messaging.admin import build_topic_specs, list_topics

    found = asyncio.run(list_topics(load_settings(home)))
    wrong = 0
    for spec in build_topic_specs():
        there = found.get(spec.name)
        if there is None:
            print_plain(f"{spec.name}: missing")
        elif there.partitions != spec.partitions or there.compacted != spec.compacted:
            declared = f"{spec.partitions} partitions, {spec.configs['cleanup.policy']}"
            print_plain(f"{spec.name}: {there.partitions} partitions, {there.configs['cleanup.policy']}; declared: {declared}")
        else:
            continue
        wrong += 1
    if not wrong:
        say(f"All {len(found)} topics are as declared.")
    return 1 if wrong else 0


@topics.command("list")
def list_declared(home: Path | None = HOME_OPTION) -> None:
    """Every topic: who writes it, who reads it, how long it is kept."""
    from libs.events.topics import DAY_MS, TOPICS
    from libs.messaging.admin import list_topics

    found = asyncio.run(list_topics(load_settings(home)))
    table = make_table("topic", "partitions", "kept", "from", "to")
    for topic in TOPICS.values():
        days = "for ever" if topic.retention_ms is None else f"{topic.retention_ms // DAY_MS} days"
        kept = f"{days}, compacted" if topic.compact else days
        there = found.get(topic.name)
        partitions = str(there.partitions) if there else "[red]missing[/]"
        table.add_row(topic.name, partitions, kept, ", ".join(topic.producers), ", ".join(topic.consumers))
    for name, spec in sorted(found.items()):
        if name not in TOPICS:
            table.add_row(name, str(spec.partitions), "30 days", name.partition("-")[0], "operators")
    STDOUT.print(table)
