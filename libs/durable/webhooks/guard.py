"""Which addresses may be sent to: public ones alone (SSRF). The address that a name leads to is checked, then connected to."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final, TypeAlias
from urllib.parse import SplitResult, urlsplit

Resolve: TypeAlias = Callable[[str, int], Awaitable[list[str]]]
_NAT64: Final = IPv6Network("64:ff9b::/96")
_LONGEST_URL: Final = 2_000
_PORTS: Final = {"http": 80, "https": 443}


class UrlRefused(Exception):
    """Nothing is sent there. The text says why."""


def check_url(url: str, *, allow_private: bool) -> tuple[SplitResult, str, int]:
    """The parts, the host and the port of an address that may be tried: https, and nothing that hides where it leads.

    `allow_private`: http and private addresses, too (local development). Raises UrlRefused.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise UrlRefused("isn't a URL") from error
    if not host or len(url) > _LONGEST_URL or not url.isascii() or any(character <= " " for character in url):
        raise UrlRefused("isn't a URL of a public host")
    if parts.scheme not in (("https", "http") if allow_private else ("https",)):
        raise UrlRefused("doesn't begin with https://")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise UrlRefused("holds a user name, a password or a fragment")
    if not allow_private:
        try:
            literal = ip_address(host)
        except ValueError:
            if "." not in host:
                raise UrlRefused("names a host of a local network") from None
        else:
            if not is_public(literal):
                raise UrlRefused("is a private address")
    return parts, host, port or _PORTS[parts.scheme]


async def resolve_public(host: str, port: int, resolve: Resolve, *, allow_private: bool) -> list[str]:
    """The addresses of a host. One that isn't public spoils them all: nobody with good intent mixes them. Raises UrlRefused,
    OSError.
    """
    found = await resolve(host, port)
    if not allow_private and not all(is_public(ip_address(address)) for address in found):
        raise UrlRefused("leads to a private address")
    return found


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Neither private, loopback, link-local (where clouds keep their metadata), shared, reserved nor multicast, nor an IPv6
    form of one that is.
    """
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return False
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if address in _NAT64:
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


async def resolve_host(host: str, port: int) -> list[str]:
    """As the system resolves it."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[4][0]) for address in found))
