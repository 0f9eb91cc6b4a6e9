"""The device a touchpoint came from: what its user agent says, and whether it is a program instead of a person."""

import re
from functools import cache, lru_cache
from typing import Final, NamedTuple

from ua_parser import Domain, Parser
from ua_parser.loaders import load_lazy_builtins
from ua_parser.regex import Resolver

from services.ingest.domain.calls import Object

_REMEMBERED: Final = 8192
_AGENT_CHARS: Final = 512
"""Real ones have less than half of it; a longer one isn't worth the reading."""

DESKTOP_SYSTEMS: Final = frozenset(
    {"Windows", "Mac OS X", "Linux", "Ubuntu", "Debian", "Fedora", "Red Hat", "SUSE", "FreeBSD", "OpenBSD", "Chrome OS"}
)
APP_SYSTEMS: Final = {
    "android": ("Android", "mobile"),
    "ios": ("iOS", "mobile"),
    "ipados": ("iPadOS", "tablet"),
    "tvos": ("tvOS", "tv"),
}
"""What the mobile SDKs call their system in `context.os.name` and `context.device.type`."""

_CONSOLE: Final = re.compile(r"PlayStation|Xbox|Nintendo")
_TV: Final = re.compile(
    r"\b(?:smart-?tv|apple ?tv|google ?tv|android ?tv|hbbtv|netcast|web0s|bravia|roku|crkey|vidaa|aft[a-z]{1,4})\b| TV Safari",
    re.IGNORECASE,
)
_PROGRAMS: Final = re.compile(
    r"HeadlessChrome|PhantomJS|Electron/.*Cypress|Chrome-Lighthouse|PTST/|Pingdom|UptimeRobot|StatusCake|Site24x7|DatadogSynthetics"
    r"|GTmetrix|GPTBot|ChatGPT-User|OAI-SearchBot|ClaudeBot|PerplexityBot|CCBot|Bytespider|Amazonbot|Google-InspectionTool"
    r"|facebookexternalhit|meta-externalagent|^curl/|^Wget/|^python-(?:requests|urllib|httpx)|^aiohttp|^Python/|^Go-http-client"
    r"|^Java/|^Apache-HttpClient|^node-fetch|^axios/|Scrapy",
    re.IGNORECASE,
)
"""Beside what uap-core calls a spider: headless browsers, page tests and uptime checks, the crawlers of language models, link
previews, and the HTTP libraries of scripts (at the beginning only: apps name them further behind)."""


class Device(NamedTuple):
    """`kind`: desktop, mobile, tablet, tv or console. What isn't known is None."""

    kind: str | None
    browser: str | None
    os: str | None
    bot: bool


def read_device(context: Object, header: str | None) -> Device | None:
    """By `context.userAgent`, else the request's header (None where that isn't the visitor's own), and the hints that browsers
    give beside it; for an app's SDK, which has no user agent, by the system it names.
    """
    device = None
    agent = context.get("userAgent") or header
    if agent and isinstance(agent, str):
        is_mobile = _read_hint(context["userAgentData"]) if "userAgentData" in context else None
        device = _read_agent(agent if len(agent) <= _AGENT_CHARS else agent[:_AGENT_CHARS], is_mobile)
    if device is None and ("os" in context or "device" in context):
        return _read_app(context)
    return device


def _read_hint(hints: object) -> bool | None:
    is_mobile = hints.get("mobile") if isinstance(hints, dict) else None
    return is_mobile if isinstance(is_mobile, bool) else None


def load_patterns() -> None:
    """Read uap-core's patterns now (a quarter of a second, 32 MB) instead of under the first visitor."""
    _parser()


@cache
def _parser() -> Parser:
    return Parser(Resolver(load_lazy_builtins()))


@lru_cache(maxsize=_REMEMBERED)
def _read_agent(agent: str, is_mobile: bool | None) -> Device | None:
    read = _parser()(agent, Domain.ALL)
    system = None if read.os is None else read.os.family
    family = "" if read.device is None else read.device.family
    bot = family == "Spider" or _PROGRAMS.search(agent) is not None
    kind = _find_kind(agent, system, family, is_mobile)
    browser = None if read.user_agent is None else read.user_agent.family
    return Device(kind, browser, system, bot) if kind or browser or system or bot else None


def _find_kind(agent: str, system: str | None, family: str, is_mobile: bool | None) -> str | None:
    if _CONSOLE.search(agent):
        return "console"
    if _TV.search(agent):
        return "tv"
    if system == "iOS":
        return "tablet" if family.startswith("iPad") else "mobile"
    if system == "Android":
        # Android's own rule: phones say `Mobile`, tablets leave it out.
        return "mobile" if is_mobile or (is_mobile is None and "Mobile" in agent) else "tablet"
    if system in DESKTOP_SYSTEMS:
        return "mobile" if is_mobile else "desktop"
    return "mobile" if is_mobile or "Mobile" in agent else None


def _read_app(context: Object) -> Device | None:
    for holder, member in (("os", "name"), ("device", "type")):
        stated = context.get(holder)
        word = stated.get(member) if isinstance(stated, dict) else None
        known = APP_SYSTEMS.get(word.lower()) if isinstance(word, str) else None
        if known is not None:
            return Device(known[1], None, known[0], bot=False)
    return None
