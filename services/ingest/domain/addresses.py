"""Where a visitor's network address comes from, and how much of it a source keeps."""

import ipaddress
from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Raw

from services.ingest.domain.calls import Members, Payload

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_MEMBERS: Final = msgspec.json.Decoder(Members)
_KEPT_BITS: Final = {4: 24, 6: 48}
"""A household's neighbourhood, not a household."""


def keep_address(context: Payload, policy: str, connection: str | None) -> Payload:
    """The context with as much of the visitor's address as the policy says: `context.ip`, else the connection's where given.

    What is no address is dropped.
    """
    stated = context.value.get("ip")
    address = shorten(stated if isinstance(stated, str) else connection, policy)
    if address == stated:
        return context
    value = {name: member for name, member in context.value.items() if name != "ip"}
    members = _MEMBERS.decode(context.raw)
    members.pop("ip", None)
    if address is not None:
        value["ip"] = address
        members["ip"] = Raw(msgspec.json.encode(address))
    return Payload(Raw(msgspec.json.encode(members)), value)


def shorten(address: str | None, policy: str) -> str | None:
    """All of it (`full`), the network it belongs to (`truncated`: /24 of IPv4, /48 of IPv6), or nothing."""
    if policy == "none" or address is None:
        return None
    try:
        parsed = ipaddress.ip_address(address.strip())
    except ValueError:
        return None
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    if policy == "full":
        return str(parsed)
    return str(ipaddress.ip_network((int(parsed), _KEPT_BITS[parsed.version]), strict=False).network_address)


def read_networks(text: str) -> tuple[Network, ...]:
    """`10.0.0.0/8, ::1`: networks or single addresses. Raises ValueError."""
    return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())


def find_client(peer: str | None, forwarded: str, trusted: Sequence[Network]) -> str | None:
    """The address of who sent a request: the peer's, or, while it is a proxy we trust, who that one says it speaks for.

    `forwarded` is `X-Forwarded-For`: it grows at the right, so it is believed from there, hop by hop.
    """
    hops = [hop.strip() for hop in forwarded.split(",") if hop.strip()]
    address = peer
    while address is not None and hops and is_within(address, trusted):
        address = hops.pop()
    return address


def is_within(address: str, networks: Sequence[Network]) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in networks if network.version == parsed.version)
