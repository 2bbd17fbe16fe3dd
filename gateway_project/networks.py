"""Which addresses the gateway may send to without leave. No I/O."""

import ipaddress


def is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether it may be sent there without leave: not loopback, private, link-local, metadata, multicast, reserved."""
    mapped = getattr(address, "ipv4_mapped", None)
    if mapped is not None:
        return is_public(mapped)
    sixtofour = getattr(address, "sixtofour", None)
    if sixtofour is not None and not is_public(sixtofour):
        return False
    if isinstance(address, ipaddress.IPv6Address) and address in ipaddress.ip_network("64:ff9b::/96"):
        return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return address.is_global and not address.is_multicast
