"""The address of the buyer's device, as a merchant gives it: which texts are one, and which of them are one source."""

import ipaddress
import re
from functools import lru_cache

MAX_ADDRESS = 45
"""The longest text of an IPv6 address: one that ends in an IPv4 address."""
ALLOWED = "the public IPv4 or IPv6 address of the buyer's device, such as 203.0.113.7 or 2001:db8::7"
_TEXT = re.compile(f"[0-9A-Fa-f:.]{{2,{MAX_ADDRESS}}}", re.ASCII)
_INTERNAL = [
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "224.0.0.0/3",
        "::/3",
        "4000::/2",
        "8000::/1",
    )
]
"""Networks without devices of buyers (IANA, special-purpose registries): private ones, loopback, multicast, and all
IPv6 outside of global unicast. A payment that gives one of these gives the address of a proxy."""


@lru_cache(maxsize=1024)
def client_address(text: str) -> str:
    """The address in its one spelling, or "" if the text is no address that a buyer's device can have."""
    if not _TEXT.fullmatch(text):
        return ""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    if any(address in network for network in _INTERNAL):
        return ""
    return str(address)


def network_of(address: str) -> str:
    """What counts as one source: an IPv4 address, and of IPv6 the /64 that one household or device has (RFC 6177)."""
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))
