"""analytics-next in a real Chromium, on a page of another origin: what visitors do, also where the line breaks."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import BrowserContext, Page, async_playwright

from deploy.local.browser_sdk import ensure_browser_sdk
from tests.e2e.packages import install_node_sdk
from tests.e2e.shop_site import Line, Site, open_line, open_site
from tests.e2e.visitor import Visitor
from tests.support.eventually import eventually

ARGUMENTS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
WITHIN_S = 45
RUDDER = "@rudderstack/analytics-js"
BATCHING = {
    "integrations": {"Segment.io": {"deliveryStrategy": {"strategy": "batching", "config": {"size": 10, "timeout": 60_000}}}}
}


@asynccontextmanager
async def open_chromium(program: Path, profile: Path) -> AsyncIterator[BrowserContext]:
    """With a profile on disk, as a visitor has: what a page stores outlives it."""
    async with async_playwright() as playwright:
        context = await playwright.chromium.launch_persistent_context(
            profile, executable_path=program, args=ARGUMENTS, headless=True, chromium_sandbox=False
        )
        try:
            yield context
        finally:
            await context.close()


class Shop:
    """One visitor's browser, the shop's pages, and the line to ingest between them."""

    def __init__(self, visitor: Visitor, context: BrowserContext, site: Site, line: Line) -> None:
        self.visitor = visitor
        self.context = context
        self.site = site
        self.line = line
        self.complaints: list[str] = []

    async def visit(self, template: str, *, calls: str = "", options: Any = None, query: str = "") -> Page:
        address = self.site.publish("/", template, self.line.url, calls=calls, options=options)
        page = self.context.pages[0] if self.context.pages else await self.context.new_page()
        page.on("console", lambda message: self.complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        await page.goto(address + query)
        await page.evaluate("new Promise(done => analytics.ready(done))")
        return page

    async def arrived(self, ref: str, *names: str) -> Counter[str]:
        """What the timeline names, once all of `names` are there."""

        async def seen() -> Counter[str]:
            answer = await self.visitor.ask("profile", f"/v1/profiles/{ref}/timeline", limit="100")
            return Counter(item["name"] for item in answer.json()["items"]) if answer.status_code == 200 else Counter()

        return await eventually(seen, until=lambda found: set(names) <= set(found), within_s=WITHIN_S)


@pytest.fixture
async def shop(visitor: Visitor, browser: Path, tmp_path: Path) -> AsyncIterator[Shop]:
    rudder = await install_node_sdk(RUDDER)
    scripts = {
        "/analytics-next.js": (ensure_browser_sdk() / "dist/umd/index.js").read_bytes(),
        "/rudder.js": (rudder / "node_modules" / RUDDER / "dist/npm/modern/bundled/umd/index.js").read_bytes(),
    }
    port = urlsplit(visitor.urls["ingest"]).port
    assert port is not None
    async with open_site(scripts) as site, open_line(port) as line, open_chromium(browser, tmp_path / "visitor") as context:
        yield Shop(visitor, context, site, line)


def make_calls(name: str) -> str:
    return f"""
      analytics.page("Docs", "Home");
      analytics.identify("{name}", {{email: "{name}@mail.example", firstName: "Ada"}});
      analytics.track("Order Completed", {{order_id: "o-{name}", revenue: 25.5, currency: "EUR"}});
      analytics.group("g-{name}", {{name: "Acme"}});
    """


@pytest.mark.parametrize(
    ("template", "options"),
    [
        ("snippet.html", {}), ("snippet.html", BATCHING), ("module.html", {}), ("module.html", BATCHING), ("rudder.html", {}),
    ],
    ids=["snippet", "snippet in batches", "npm", "npm in batches", "RudderStack"],
)  # fmt: skip
async def test_every_call_of_a_visitor_arrives_once(shop: Shop, name: str, template: str, options: Any) -> None:
    alias = f'analytics.alias("new-{name}");'
    is_rudder = template == "rudder.html"
    page = await shop.visit(template, calls=make_calls(name) + ("" if is_rudder else alias), options=options)
    if options:
        # The SDK takes calls in their order, each at its leisure: it has gathered them all once it answers to the last.
        await page.evaluate('analytics.track("Left", {})')
        await page.goto(f"{shop.site.url}/away")
    seen = await shop.arrived(f"user_id:{name}", "Page Viewed", "Identified", "Order Completed", "Grouped")
    if is_rudder:
        # Its alias names another user on this device: applied before the identify it would make the device somebody else's.
        await page.evaluate(alias)
        await shop.arrived(f"user_id:new-{name}", "Aliased")
    else:
        # analytics-next overwrites an alias's new id with the stored one: it arrives as an alias of the id onto itself, a no-op.
        await shop.arrived(f"user_id:{name}", "Aliased")
    assert max(seen.values()) == 1, f"something came twice: {seen}"
    view = await shop.visitor.read("profile", f"/v1/profiles/user_id:{name}")
    assert view["traits"]["first_name"] == "Ada"
    assert view["aggregates"]["orders"]["gross_minor"] == {"EUR": 2550}
    assert [account["id"] for account in view["accounts"]] == [f"g-{name}"]
    assert shop.complaints == []


async def test_the_bundle_asks_the_host_it_came_from_and_nobody_else(shop: Shop, name: str) -> None:
    asked: list[str] = []
    shop.context.on("request", lambda request: asked.append(request.url))
    await shop.visit("snippet.html", calls=f'analytics.track("Seen", {{}}); analytics.identify("{name}");')
    await shop.arrived(f"user_id:{name}", "Identified")
    hosts = Counter(urlsplit(address).netloc for address in asked)
    assert set(hosts) == {urlsplit(shop.site.url).netloc, urlsplit(shop.line.url).netloc}


async def test_what_the_address_says_is_read_by_a_chunk_that_ingest_serves(shop: Shop, name: str) -> None:
    await shop.visit("snippet.html", query=f"?ajs_uid={name}&ajs_event=Clicked+Through&ajs_prop_from=mail")
    await shop.arrived(f"user_id:{name}", "Identified", "Clicked Through")
    assert shop.complaints == []


async def queue(page: Page, name: str) -> None:
    """Two calls that can't leave now, and the SDK's word that it has seen them."""
    await page.evaluate(f'analytics.identify("{name}")')
    await page.evaluate('analytics.track("Left Behind", {n: 1})')


async def test_calls_that_found_no_server_are_sent_after_a_reload(shop: Shop, name: str) -> None:
    page = await shop.visit("snippet.html")
    await shop.line.cut()
    await queue(page, name)
    await shop.line.mend()
    await page.reload()
    seen = await shop.arrived(f"user_id:{name}", "Identified", "Left Behind")
    assert max(seen.values()) == 1


async def test_calls_made_offline_are_sent_once_the_line_is_back(shop: Shop, name: str) -> None:
    page = await shop.visit("snippet.html")
    await shop.context.set_offline(True)
    await queue(page, name)
    await shop.context.set_offline(False)
    seen = await shop.arrived(f"user_id:{name}", "Identified", "Left Behind")
    assert max(seen.values()) == 1


async def test_a_call_that_is_tried_again_passes_the_browsers_own_checks(shop: Shop, name: str) -> None:
    """A retry carries X-Retry-Count, which a preflight has to allow: else the browser blocks each of them for good."""
    retries: list[str] = []

    async def note(request: Any) -> None:
        headers = await request.all_headers()
        if "x-retry-count" in headers and request.method == "POST":
            retries.append(headers["x-retry-count"])

    page = await shop.visit("snippet.html")
    await shop.line.cut()
    shop.context.on("request", note)
    await queue(page, name)
    await shop.line.mend()
    await shop.arrived(f"user_id:{name}", "Identified", "Left Behind")
    assert retries, "nothing was tried again"


@pytest.mark.parametrize("leave", ["away", "close"])
async def test_a_page_that_is_left_still_sends_what_it_has_gathered(shop: Shop, name: str, leave: str) -> None:
    """On page hide the SDK sends its batch with keepalive: the request outlives the page."""
    page = await shop.visit("snippet.html", options=BATCHING)
    await queue(page, name)
    if leave == "close":
        await shop.context.new_page()
        await page.close(run_before_unload=True)
    else:
        await page.goto(f"{shop.site.url}/away")
    seen = await shop.arrived(f"user_id:{name}", "Identified", "Left Behind")
    assert max(seen.values()) == 1


async def test_a_beacon_of_rudders_browser_sdk_needs_no_preflight(shop: Shop, name: str) -> None:
    page = await shop.visit("snippet.html")
    call = f'{{"type": "track", "event": "Beacon Sent", "userId": "{name}"}}'
    body = f"JSON.stringify({{batch: [{call}]}})"
    assert await page.evaluate(f'navigator.sendBeacon("{shop.line.url}/beacon/v1/batch?writeKey=dev-browser-key", {body})')
    await shop.arrived(f"user_id:{name}", "Beacon Sent")
