"""Which addresses lie on the public internet, and nowhere in this service's own networks."""

from __future__ import annotations

import ipaddress

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")


def is_public(address: str) -> bool:
    """Raises ValueError when it is no address but a name."""
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        # An IPv4 address in disguise leads wherever that one leads.
        nat64 = ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF) if ip in _NAT64 else None
        inner = ip.ipv4_mapped or ip.sixtofour or nat64
        return is_public(str(inner)) if inner is not None else ip.is_global and ip in _GLOBAL_UNICAST
    return ip.is_global and not ip.is_multicast
