"""What is left of a call's context: the keys that the policy names, an address cut short, a browser by its family.

In: the context and the request's address and user agent. Out: JSON-able context. Reducing twice gives the same, so that
an event that was set aside can be admitted again from what was kept of it.
"""

import ipaddress
from collections.abc import Mapping
from functools import lru_cache
from typing import TypeAlias

import ua_parser

from ingestion.door.policy import DoorPolicy

_CACHED = 20_000
_LONGEST_USER_AGENT = 1_000
_LONGEST_ADDRESS = 200
_TELEVISIONS = ("tv", "roku", "tizen", "web0s", "webos", "chromecast", "crkey", "playstation", "xbox", "bravia")
_PHONES = ("iOS", "Android", "Windows Phone", "KaiOS")
_APP_CLIENTS = ("CFNetwork", "okhttp", "Dalvik")

# what JSON has besides null, lists and objects
_SCALARS = frozenset((str, int, float, bool))
# the inner keys that are kept of an object of the context, and whether each is an address
_Wanted: TypeAlias = tuple[tuple[str, bool], ...]

SERVER = "server"
ReducedAgent = dict[str, str]


class Reducer:
    """Reduces contexts by a policy."""

    def __init__(self, policy: DoorPolicy) -> None:
        self._wanted: dict[str, _Wanted | None] = {
            name: None if wanted is True else tuple((inner, f"{name}.{inner}" in policy.addresses) for inner in wanted)
            for name, wanted in policy.context.items()
        }
        self._is_ip_kept = policy.ip == "truncate"
        self._is_agent_kept = policy.user_agent == "reduce"

    def reduce(
        self, context: Mapping[str, object], ip: str | None, user_agent: str | None
    ) -> tuple[dict[str, object], ReducedAgent | None]:
        """What is kept, and the browser, system and class of device.

        `ip` and `user_agent` are the request's; the context's own go before them, as it may speak for a browser behind
        a server.
        """
        kept: dict[str, object] = {}
        for name, value in context.items():
            wanted = self._wanted.get(name, ())
            if wanted:
                if isinstance(value, dict) and (part := _part(value, wanted)):
                    kept[name] = part
            elif wanted is None and type(value) in _SCALARS:
                kept[name] = value
        own_ip, own_agent = context.get("ip"), context.get("userAgent")
        if self._is_ip_kept and (address := truncated_ip(own_ip if isinstance(own_ip, str) else ip)) is not None:
            kept["ip"] = address
        agent = _agent(own_agent, user_agent)
        if self._is_agent_kept and agent is not None:
            kept["userAgent"] = agent
        return kept, agent


def _part(value: Mapping[str, object], wanted: _Wanted) -> dict[str, object]:
    part: dict[str, object] = {}
    for inner, is_address in wanted:
        found = value.get(inner)
        if found is None:
            continue
        if is_address and isinstance(found, str):
            part[inner] = found.partition("?")[0].partition("#")[0]
        elif type(found) in _SCALARS:
            part[inner] = found
    return part


def truncated_ip(text: str | None) -> str | None:
    """An IPv4 address without its last byte, an IPv6 address without its last ten; None for what is no address."""
    return None if text is None or len(text) > _LONGEST_ADDRESS else _network_of(text)


@lru_cache(_CACHED)
def _network_of(text: str) -> str | None:
    try:
        # "fe80::1%eth0" has a zone, and "[::1]" brackets
        address = ipaddress.ip_address(text.strip().strip("[]").partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    bits = 24 if address.version == 4 else 48
    return str(ipaddress.ip_network((address, bits), strict=False).network_address)


def reduced_user_agent(text: str) -> ReducedAgent:
    """Families of browser and system, and the class of device: `web`, `mobile` (an app), `connected_tv` or `server`."""
    return _families_of(text[:_LONGEST_USER_AGENT])


@lru_cache(_CACHED)
def _families_of(text: str) -> ReducedAgent:
    text = text.encode("ascii", "replace").decode()
    found = ua_parser.parse(text)
    browser = found.user_agent.family if found.user_agent is not None else "Other"
    system = found.os.family if found.os is not None else "Other"
    device = found.device.family if found.device is not None else ""
    return {"browser": browser, "os": system, "device": _device_class(text, browser, system, device)}


def _device_class(text: str, browser: str, system: str, device: str) -> str:
    words = f"{text} {browser} {system} {device}".lower()
    if any(television in words for television in _TELEVISIONS):
        return "connected_tv"
    if any(client in text for client in _APP_CLIENTS) or (browser == "Other" and system in _PHONES):
        return "mobile"
    return SERVER if browser == "Other" and system == "Other" else "web"


def _agent(own: object, request: str | None) -> ReducedAgent | None:
    if isinstance(own, dict):
        # reduced before; whoever sends such an object has no more than these
        agent = {name: own[name] for name in ("browser", "os", "device") if isinstance(own.get(name), str)}
        return agent or None
    text = own if isinstance(own, str) and own else request
    return reduced_user_agent(text) if text else None
