from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.events.touchpoints import Device, Page
from services.ingest.domain.devices import Device as Read
from services.ingest.domain.devices import read_device
from services.ingest.domain.pages import cut_address
from tests.support.intake import BROWSER, SERVER, World, make_track, take

CHROME = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.5 Mobile/15E148 Safari/604.1"
)
IPAD = IPHONE.replace("iPhone;", "iPad;").replace("CPU iPhone OS", "CPU OS")
ANDROID = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0{} Safari/537.36"
GOOGLEBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"


@pytest.mark.parametrize(
    ("agent", "device"),
    [
        (CHROME, Device("desktop", "Chrome", "Windows")),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:142.0) Gecko/20100101 Firefox/142.0", Device("desktop", "Firefox", "Linux")),
        (
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1 (KHTML, like Gecko) Version/17.5 Safari/605.1",
            Device("desktop", "Safari", "Mac OS X"),
        ),
        (
            "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36",
            Device("desktop", "Chrome", "Chrome OS"),
        ),
        (IPHONE, Device("mobile", "Mobile Safari", "iOS")),
        (IPAD, Device("tablet", "Mobile Safari", "iOS")),
        (ANDROID.format(" Mobile"), Device("mobile", "Chrome Mobile", "Android")),
        (ANDROID.format(""), Device("tablet", "Chrome", "Android")),
        (
            "Mozilla/5.0 (PlayStation; PlayStation 5/2.26) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/13.0 Safari/605.1.15",
            Device("console", "Safari"),
        ),
        (
            "Mozilla/5.0 (Windows NT 10.0; Xbox; Xbox One) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/48.0.0.0 Edge/20.02",
            Device("console", "Edge", "Windows"),
        ),
        (
            "Mozilla/5.0 (SMART-TV; Linux; Tizen 6.0) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/4.0 TV Safari/537.36",
            Device("tv", "Samsung Internet", "Tizen"),
        ),
        (GOOGLEBOT, Device(browser="Googlebot", bot=True)),
        (CHROME.replace("Chrome/", "HeadlessChrome/"), Device("desktop", "HeadlessChrome", "Windows", bot=True)),
        ("curl/8.5.0", Device(browser="curl", bot=True)),
        ("Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)", None),
        ("Mozilla/5.0", None),
        ("", None),
        ("analytics-node-next/latest", None),
    ],
)
def test_a_user_agent_tells_the_device(agent: str, device: Device | None) -> None:
    found = take(make_track(context={"userAgent": agent})).device
    if "GPTBot" in agent:
        assert found is not None
        assert found.bot
    else:
        assert found == device


def test_a_phone_whose_maker_sounds_like_a_robot_is_none() -> None:
    agent = (
        "Mozilla/5.0 (Linux; Android 9; CUBOT_X19) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/99.0.0.0 Mobile Safari/537.36"
    )
    found = take(make_track(context={"userAgent": agent})).device
    assert found == Device("mobile", "Chrome Mobile", "Android")


def test_the_browsers_own_hints_win_over_the_user_agent() -> None:
    hints = {"brands": [], "mobile": True, "platform": "Android"}
    found = take(make_track(context={"userAgent": ANDROID.format(""), "userAgentData": hints})).device
    assert found is not None
    assert found.kind == "mobile"


@pytest.mark.parametrize("hints", [None, 5, "x", [], {}, {"mobile": None}, {"mobile": "yes"}])
def test_hints_that_say_nothing_change_nothing(hints: object) -> None:
    assert take(make_track(context={"userAgent": CHROME, "userAgentData": hints})).device == Device(
        "desktop", "Chrome", "Windows"
    )


@pytest.mark.parametrize(
    ("context", "device"),
    [
        ({"os": {"name": "iOS", "version": "17.5"}, "device": {"model": "iPhone12,1"}}, Device("mobile", os="iOS")),
        ({"os": {"name": "Android"}}, Device("mobile", os="Android")),
        ({"device": {"type": "android"}}, Device("mobile", os="Android")),
        ({"os": {"name": "iPadOS"}}, Device("tablet", os="iPadOS")),
        ({"os": {"name": "BeOS"}}, None),
        ({"os": "iOS", "device": 5}, None),
        ({"userAgent": "Shop/7", "os": {"name": "iOS"}}, Device("mobile", os="iOS")),
    ],
)
def test_an_apps_sdk_names_the_system(context: dict[str, Any], device: Device | None) -> None:
    assert take(make_track(context=context)).device == device


async def test_the_requests_header_counts_where_a_browser_speaks_for_itself_alone() -> None:
    world = World()
    async with world.client(headers={"user-agent": IPHONE}) as client:
        for key in ("dev-browser-key", "dev-write-key"):
            await client.post("/v1/track", auth=(key, ""), json=make_track())
        stated = make_track(context={"userAgent": CHROME}, messageId="m2")
        await client.post("/v1/batch", auth=("dev-browser-key", ""), json={"batch": [stated]})
        await client.get("/v1/pixel/page", params={"writeKey": "dev-browser-key", "userId": "u1"})
    devices = [event.device for event in world.recorded()]
    iphone = Device("mobile", "Mobile Safari", "iOS")
    assert devices == [iphone, None, Device("desktop", "Chrome", "Windows"), iphone]
    assert [event.source_id for event in world.recorded()] == [BROWSER.id, SERVER.id, BROWSER.id, BROWSER.id]


@given(st.text(max_size=2000), st.none() | st.booleans())
def test_any_user_agent_is_read_in_full_or_not_at_all(agent: str, mobile: bool | None) -> None:
    found = read_device({"userAgent": agent, "userAgentData": {"mobile": mobile}}, None)
    assert found is None or isinstance(found, Read)
    assert found == read_device({"userAgentData": {"mobile": mobile}}, agent)
    assert found == read_device({"userAgent": agent[:512], "userAgentData": {"mobile": mobile}}, None)


@pytest.mark.parametrize(
    ("page", "kept"),
    [
        (
            {
                "url": "https://shop.example/a?token=secret#top",
                "path": "/a",
                "title": "A",
                "referrer": "https://x.example/?q=ada",
                "search": "?token=secret",
            },
            Page("https://shop.example/a", "/a", "A", "https://x.example/"),
        ),
        ({"url": "https://ada:secret@shop.example/@ada"}, Page("https://shop.example/@ada")),
        ({"url": "https://social.example/@ada"}, Page("https://social.example/@ada")),
        ({"path": "/reset?code=1"}, Page(path="/reset")),
        ({"url": "", "title": "", "referrer": "?x"}, None),
        ({"url": 5, "title": ["x"]}, None),
        ({}, None),
        (None, None),
        ("https://shop.example", None),
    ],
)
def test_a_page_is_told_without_what_its_address_keeps_secret(page: object, kept: Page | None) -> None:
    assert take(make_track(context={"page": page})).page == kept


def test_a_page_calls_own_properties_name_the_page_where_the_context_does_not() -> None:
    call = {"type": "page", "userId": "u1", "properties": {"url": "https://shop.example/a?b=1", "title": "A"}}
    assert take(call).page == Page("https://shop.example/a", title="A")
    assert take(call | {"context": {"page": {"url": "https://shop.example/c"}}}).page == Page("https://shop.example/c")
    assert take(make_track(properties={"url": "https://shop.example/p1"})).page is None


@given(st.text())
def test_a_cut_address_is_its_own_cut(address: str) -> None:
    once = cut_address(address)
    assert once is None or (cut_address(once) == once and "?" not in once and "#" not in once)
