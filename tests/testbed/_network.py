# Copyright: (c) 2026, closure.nixos contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fleet's network: a bridge on the controller and a network namespace per host.

The namespaces are made here and not by systemd-nspawn, so that they outlive a reboot of the host.
"""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path

from _command import TestbedError, run

NETNS = Path("/run/netns")


def subnet(number: int) -> ipaddress.IPv4Network:
    return ipaddress.IPv4Network(f"10.213.{number}.0/24")


def free_number(taken: set[int]) -> int:
    """The lowest fleet number whose subnet is neither another fleet's nor routed elsewhere."""
    routes = [route["dst"] for route in json.loads(run("ip", "-json", "-4", "route"))]
    routed = [ipaddress.IPv4Network(dst) for dst in routes if dst != "default"]
    for number in range(1, 255):
        if number not in taken and not any(subnet(number).overlaps(net) for net in routed):
            return number
    raise TestbedError(
        "No subnet of 10.213.0.0/16 is free: run `testbed down --all`, or remove the routes"
        " that `ip route` shows there."
    )


def bridge(number: int) -> str:
    return f"tb{number}"


def mac(number: int, last: int) -> str:
    """Of the address that ends in these: neighbours cache it for half a minute."""
    return f"02:00:0a:d5:{number:02x}:{last:02x}"


def add_bridge(number: int) -> None:
    name = bridge(number)
    delete_bridge(number)
    # With an address of its own: a bridge without one takes and changes it with its ports.
    batch(
        f"link add {name} address {mac(number, 1)} type bridge",
        f"address add {subnet(number)[1]}/24 dev {name}",
        f"link set {name} up",
    )


def has_bridge(number: int) -> bool:
    return has_link(bridge(number))


def delete_bridge(number: int) -> None:
    delete_link(bridge(number))


def connect(netns: str, link: str, number: int, last: int) -> None:
    """Give a host its namespace and its end of a veth pair, host0; replaces what is there."""
    disconnect(netns, link)
    batch(
        f"netns add {netns}",
        f"link add {link} type veth peer name host0 netns {netns}",
        f"link set {link} master {bridge(number)} up",
    )
    batch(
        f"link set host0 address {mac(number, last)} up",
        f"address add {subnet(number)[last]}/24 dev host0",
        "link set lo up",
        netns=netns,
    )


def disconnect(netns: str, link: str) -> None:
    delete_link(link)
    if (NETNS / netns).exists():
        run("ip", "netns", "delete", netns)


def set_link(link: str, state: str) -> None:
    """Pull or plug the cable at the controller's end: the host keeps addresses and routes."""
    run("ip", "link", "set", link, state)


def pids(netns: str) -> list[int]:
    if not (NETNS / netns).exists():
        return []
    return [int(pid) for pid in run("ip", "netns", "pids", netns).split()]


def has_link(name: str) -> bool:
    return Path("/sys/class/net", name).exists()


def delete_link(name: str) -> None:
    if has_link(name):
        run("ip", "link", "delete", name)


def batch(*lines: str, netns: str | None = None) -> None:
    run("ip", *(["-netns", netns] if netns else []), "-batch", "-", stdin="\n".join(lines) + "\n")
