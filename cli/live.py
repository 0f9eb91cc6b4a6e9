"""The screen of `rapport up`: numbers that move, what runs, the last events; a plain line now and then elsewhere."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import httpx
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from cli.catalogue import ABOUT_PARTS, BY_NAME
from cli.figures import Figures, compute_rates
from cli.homes import RunningPlatform
from cli.lookout import Look, look, make_client

REFRESH_S = 1.0
PLAIN_LINE_S = 5.0
EVENTS_SHOWN = 8
NOTES_SHOWN = 4
LABELS = (
    ("touchpoints", "touchpoints accepted"),
    ("rejected", "touchpoints refused"),
    ("profiles", "profiles"),
    ("changes", "touchpoints in profiles"),
    ("segment_changes", "segment changes"),
    ("messages", "messages sent"),
    ("points", "points"),
)


@dataclass(slots=True)
class Screen:
    """What is known now; `render` draws it."""

    platform: RunningPlatform | None = None
    seen: Look | None = None
    rates: dict[str, float] = field(default_factory=dict)
    notes: deque[str] = field(default_factory=lambda: deque(maxlen=NOTES_SHOWN))
    events: Sequence[str] = ()
    is_shown: bool = False
    _measured_at: float = 0.0

    def note(self, text: str) -> None:
        self.notes.append(f"{time.strftime('%H:%M:%S')} {text}")

    def take(self, seen: Look, now: float) -> None:
        if self.seen is not None:
            self.rates = compute_rates(self.seen.figures, seen.figures, now - self._measured_at)
        self.seen, self._measured_at = seen, now


def format_number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def format_rate(value: float) -> str:
    return "" if value == 0 else f"{value:,.0f}/s" if value >= 10 else f"{value:.1f}/s"  # noqa: PLR2004 where a decimal says more


def render_line(screen: Screen) -> str:
    """One plain line: what a log file or a CI console gets."""
    figures = screen.seen.figures if screen.seen else Figures()
    parts = [
        f"{label} {format_number(getattr(figures, name))}"
        + (f" ({format_rate(screen.rates[name])})" if screen.rates.get(name) else "")
        for name, label in LABELS
        if getattr(figures, name) is not None
    ]
    behind = sum(figures.lag.values())
    return ", ".join([*parts, f"behind {behind:,.0f}"]) if parts else "waiting for figures"


def render(screen: Screen) -> Group:
    parts: list[Table | Panel | Text] = [render_numbers(screen), render_parts(screen)]
    if screen.events:
        parts.append(
            Panel(Text("\n".join(screen.events), no_wrap=True, overflow="ellipsis"), title="last events", title_align="left")
        )
    if screen.notes:
        parts.append(Text("\n".join(screen.notes), style="yellow"))
    parts.append(Text("Ctrl-C stops everything.", style="dim"))
    return Group(*parts)


def render_numbers(screen: Screen) -> Panel:
    figures = screen.seen.figures if screen.seen else Figures()
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    table.add_column(justify="right", style="green")
    for name, label in LABELS:
        table.add_row(label, format_number(getattr(figures, name)), format_rate(screen.rates.get(name, 0.0)))
    return Panel(table, title="Rapport", title_align="left")


def render_parts(screen: Screen) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("part", "address", "state", "behind", "for"):
        table.add_column(column, overflow="fold")
    if screen.platform is None:
        return table
    lag = screen.seen.figures.lag if screen.seen else {}
    health = screen.seen.health if screen.seen else {}
    for part in screen.platform.parts:
        state = health.get(part.name) or ("up" if part.pid is not None else "down")
        style = "green" if state in {"up", "ready"} else "red"
        restarts = f", restarted {part.restarts}x" if part.restarts else ""
        behind = format_number(lag[part.name]) if part.name in lag else ""
        about = BY_NAME[part.name].about if part.name in BY_NAME else ABOUT_PARTS.get(part.name, "")
        table.add_row(part.title, part.address, Text(state + restarts, style=style), behind, about)
    return table


class Tail(Protocol):
    async def lines(self) -> Sequence[str]:
        """The last events, oldest first; never raises because the broker is away."""
        ...

    async def close(self) -> None: ...


async def show(
    console: Console, screen: Screen, describe: Callable[[], RunningPlatform], tail: Tail, stop: asyncio.Event
) -> None:
    """Until `stop`: on a terminal a screen that redraws, elsewhere a line every few seconds."""
    screen.is_shown = True
    try:
        async with make_client() as client:
            if console.is_terminal:
                await _show_screen(console, client, screen, describe, tail, stop)
            else:
                while not await _is_set_within(stop, PLAIN_LINE_S):
                    await _update(client, screen, describe)
                    console.print(render_line(screen), highlight=False, markup=False)
    finally:
        screen.is_shown = False
        await tail.close()


async def _show_screen(
    console: Console,
    client: httpx.AsyncClient,
    screen: Screen,
    describe: Callable[[], RunningPlatform],
    tail: Tail,
    stop: asyncio.Event,
) -> None:
    with Live(console=console, refresh_per_second=4, transient=True) as live:
        while not stop.is_set():
            await _update(client, screen, describe)
            screen.events = await tail.lines()
            live.update(render(screen))
            await _is_set_within(stop, REFRESH_S)


async def _update(client: httpx.AsyncClient, screen: Screen, describe: Callable[[], RunningPlatform]) -> None:
    screen.platform = describe()
    screen.take(await look(client, screen.platform.urls), time.monotonic())


async def _is_set_within(stop: asyncio.Event, seconds: float) -> bool:
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return False
    return True
