"""`rapport demo`: eighteen months of a shop in minutes, then its life at a pace one can watch."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import dropwhile, islice, takewhile
from pathlib import Path
from typing import Annotated

import httpx
import typer
from rich.progress import Progress

from cli.addresses import DEV_BROWSER_KEY, find_endpoints
from cli.demo.delivery import Shop
from cli.demo.marketing import set_up_campaign, set_up_segments
from cli.demo.scenes import Touch
from cli.demo.simulator import simulate
from cli.homes import resolve_home
from cli.output import STDERR

HISTORY = timedelta(days=548)
FUTURE = timedelta(days=120)
BATCH = 400
PARALLEL = 4
NOTE_EVERY = 50


@dataclass(frozen=True, slots=True)
class Story:
    """Which shop this home has: seed, customers, where history ends (ISO), and how far it has been told."""

    seed: int
    people: int
    until: str
    history_told: bool = False
    live_told: int = 0

    def touches(self) -> Iterator[Touch]:
        until = datetime.fromisoformat(self.until)
        return simulate(self.seed, self.people, until - HISTORY, until + FUTURE)

    def history(self) -> Iterator[Touch]:
        until = datetime.fromisoformat(self.until)
        return takewhile(lambda touch: touch.at < until, self.touches())

    def future(self) -> Iterator[Touch]:
        """What comes after the history, without end: when one shop's story is over another's begins."""
        until = datetime.fromisoformat(self.until)
        yield from dropwhile(lambda touch: touch.at < until, self.touches())
        yield from replace(self, seed=self.seed + 1_000_003, live_told=0).future()


def load_story(home: Path, seed: int, people: int) -> Story:
    """The story this home was told, if it is the one asked for; else a new one that ends today at midnight UTC."""
    try:
        known = Story(**json.loads(_note(home).read_text(encoding="utf-8")))
        if (known.seed, known.people) == (seed, people):
            return known
    except (FileNotFoundError, ValueError, TypeError):
        pass
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return Story(seed, people, midnight.isoformat())


def save_story(home: Path, story: Story) -> None:
    path = _note(home)
    path.parent.mkdir(parents=True, exist_ok=True)
    torn_free = path.with_suffix(".new")
    torn_free.write_text(json.dumps(asdict(story)), encoding="utf-8")
    torn_free.replace(path)


def _note(home: Path) -> Path:
    return home / "demo.json"


def demo(
    seed: Annotated[int, typer.Option(help="The same seed and number of people tell the same story.")] = 1,
    people: Annotated[int, typer.Option(min=1, help="Customers, history and future together.")] = 800,
    rate: Annotated[float, typer.Option(min=0.1, max=2000, help="Touchpoints a second once the history is told.")] = 4.0,
    live: Annotated[bool, typer.Option("--live/--history-only", help="Go on after the history, until stopped.")] = True,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
    home: Annotated[Path | None, typer.Option(help="Folder of the platform's data.")] = None,
) -> None:
    """A simulated shop: visitors, customers, tills, returns, reviews, complaints. It speaks only HTTP."""
    asyncio.run(run_demo(resolve_home(home), seed=seed, people=people, rate=rate, live=live, quiet=quiet))


async def run_demo(home: Path, *, seed: int, people: int, rate: float, live: bool, quiet: bool) -> None:
    endpoints = find_endpoints(home)
    story = load_story(home, seed, people)
    headers = {"Authorization": f"Bearer {endpoints.api_key}"}
    async with (
        httpx.AsyncClient(base_url=endpoints.url("ingest"), timeout=60) as public,
        httpx.AsyncClient(headers=headers, timeout=60) as staff,
    ):
        shop = Shop(public, write_key=endpoints.write_key, browser_key=DEV_BROWSER_KEY)
        await set_up_segments(staff, endpoints.url("segmentation"))
        if not story.history_told:
            await _tell_history(shop, story, quiet=quiet)
            story = replace(story, history_told=True)
            save_story(home, story)
        await set_up_campaign(staff, endpoints.url("engagement"))
        if live:
            await _tell_live(shop, story, rate, home)


async def _tell_history(shop: Shop, story: Story, *, quiet: bool) -> None:
    with Progress(console=STDERR, disable=quiet) as shown:
        bar = shown.add_task("eighteen months", total=HISTORY.days)
        begins_at = datetime.fromisoformat(story.until) - HISTORY
        touches = story.history()
        while group := [batch for _ in range(PARALLEL) if (batch := list(islice(touches, BATCH)))]:
            await asyncio.gather(*(shop.send(batch) for batch in group))
            shown.update(bar, completed=(group[-1][-1].at - begins_at).days)
        shown.update(bar, completed=HISTORY.days)


async def _tell_live(shop: Shop, story: Story, rate: float, home: Path) -> None:
    """One by one at `rate` a second, stamped with the present; the place is noted now and then, so that a restart goes on."""
    told = story.live_told
    clock = asyncio.get_running_loop()
    next_s = clock.time()
    for touch in islice(story.future(), told, None):
        await shop.send([replace(touch, at=datetime.now(UTC))])
        told += 1
        if told % NOTE_EVERY == 0:
            save_story(home, replace(story, live_told=told))
        next_s = max(next_s + 1 / rate, clock.time() - 1)
        await asyncio.sleep(max(0.0, next_s - clock.time()))
