"""What is left of a call's context: the keys that the policy names, an address cut short, a browser by its family.

In: the context and the request's address and user agent. Out: JSON-able context. Reducing twice gives the same, so that
an event that was set aside can be admitted again from what was kept of it.
"""

import ipaddress
from collections.abc import Mapping
from functools import lru_cache

import ua_parser

from ingestion.door.policy import DoorPolicy

_CACHED = 20_000
_LONGEST_USER_AGENT = 1_000
_TELEVISIONS = ("tv", "roku", "tizen", "web0s", "webos", "chromecast", "crkey", "playstation", "xbox", "bravia")
_PHONES = ("iOS", "Android", "Windows Phone", "KaiOS")
_APP_CLIENTS = ("CFNetwork", "okhttp", "Dalvik")

SERVER = "server"
ReducedAgent = dict[str, str]


class Reducer:
    """Reduces contexts by a policy."""

    def __init__(self, policy: DoorPolicy) -> None:
        self._kept = dict(policy.context)
        self._addresses = frozenset(tuple(name.split(".", 1)) for name in policy.addresses)
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
        for name in context:
            wanted = self._kept.get(name)
            if wanted is None:
                continue
            value = context[name]
            if wanted is True:
                if isinstance(value, str | int | float | bool):
                    kept[name] = value
            elif isinstance(value, dict) and (part := self._part(name, value, wanted)):
                kept[name] = part
        own_ip, own_agent = context.get("ip"), context.get("userAgent")
        if self._is_ip_kept and (address := truncated_ip(own_ip if isinstance(own_ip, str) else ip)) is not None:
            kept["ip"] = address
        agent = _agent(own_agent, user_agent)
        if self._is_agent_kept and agent is not None:
            kept["userAgent"] = agent
        return kept, agent

    def _part(self, name: str, value: Mapping[str, object], wanted: tuple[str, ...]) -> dict[str, object]:
        part: dict[str, object] = {}
        for inner in wanted:
            found = value.get(inner)
            if isinstance(found, str) and (name, inner) in self._addresses:
                part[inner] = found.split("?", 1)[0].split("#", 1)[0]
            elif isinstance(found, str | int | float | bool):
                part[inner] = found
        return part


@lru_cache(_CACHED)
def truncated_ip(text: str | None) -> str | None:
    """An IPv4 address without its last byte, an IPv6 address without its last ten; None for what is no address."""
    if text is None:
        return None
    try:
        # "fe80::1%eth0" has a zone, and "[::1]" brackets
        address = ipaddress.ip_address(text.strip().strip("[]").partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    bits = 24 if address.version == 4 else 48
    return str(ipaddress.ip_network((address, bits), strict=False).network_address)


@lru_cache(_CACHED)
def reduced_user_agent(text: str) -> ReducedAgent:
    """Families of browser and system, and the class of device: `web`, `mobile` (an app), `connected_tv` or `server`."""
    text = text[:_LONGEST_USER_AGENT].encode("ascii", "replace").decode()
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
