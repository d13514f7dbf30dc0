"""The network namespace everything runs in, and why no packet for a service or a pod can leave it.

Three things hold packets inside: the namespace has no default route; its only way out is a veth pair to the host, and a
filter on that pair lets through nothing but packets between its own two addresses; whatever else tries is dropped and
counted (`leaked_packets`). Image builds need package registries, so they run outside.

The namespace is entered with nsenter: `ip netns exec` mounts /sys anew and hides the cgroups from the kubelet.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from cluster.commands import CommandError, run

NAMESPACE = "rag"
HOST_LINK, NODE_LINK = "rag-host", "rag-node"
HOST_ADDRESS, NODE_ADDRESS = "198.18.0.1", "198.18.0.2"
BRIDGE, BRIDGE_ADDRESS = "rag-bridge", "10.244.0.1"
POD_RANGE = "10.244.0.0/24"
_PATH = Path("/run/netns") / NAMESPACE

_GUARD = f"""\
table inet rag_guard
delete table inet rag_guard
table inet rag_guard {{
  counter leaked {{}}
  chain leaving {{
    type filter hook postrouting priority 300; policy accept;
    oifname "{NODE_LINK}" ip saddr {NODE_ADDRESS} ip daddr {HOST_ADDRESS} accept
    oifname "{NODE_LINK}" counter name leaked drop
  }}
}}
"""
_SYSCTLS = {
    "net.ipv4.ip_forward": "1",
    # A pod's answer to another pod on the same bridge must pass the rules that translated the service's address.
    "net.bridge.bridge-nf-call-iptables": "1",
    f"net.ipv6.conf.{NODE_LINK}.disable_ipv6": "1",
}


def inside(*command: str | Path) -> tuple[str, ...]:
    """The command that runs `command` in the namespace; it replaces itself, so the pid is the program's."""
    return ("nsenter", f"--net={_PATH}", "--", *(str(word) for word in command))


def ensure(services: str) -> None:
    """Make the namespace, or mend what is missing of it."""
    if not (_PATH.exists() and _works()):
        remove()
        run(["ip", "netns", "add", NAMESPACE])
    if not Path("/sys/class/net", HOST_LINK).exists():
        run(["ip", "link", "add", HOST_LINK, "type", "veth", "peer", "name", NODE_LINK, "netns", NAMESPACE])
    run(["ip", "address", "replace", f"{HOST_ADDRESS}/30", "dev", HOST_LINK])
    run(["ip", "link", "set", HOST_LINK, "up"])
    if not _link_exists(BRIDGE):
        run(inside("ip", "link", "add", BRIDGE, "type", "bridge"))
    for name, value in _SYSCTLS.items():
        _write_sysctl(name, value)
    for link, address in ((NODE_LINK, f"{NODE_ADDRESS}/30"), (BRIDGE, f"{BRIDGE_ADDRESS}/24"), ("lo", "127.0.0.1/8")):
        run(inside("ip", "address", "replace", address, "dev", link))
        run(inside("ip", "link", "set", link, "up"))
    _attach_pods()
    # Service addresses must have a route before kube-proxy's rules see the packet.
    run(inside("ip", "route", "replace", services, "dev", BRIDGE))
    run(inside("nft", "-f", "-"), stdin=_GUARD)


def remove() -> None:
    """Delete namespace, bridge, links and rules, all of which live in the namespace; nothing there is fine."""
    with suppress(CommandError):
        run(["ip", "link", "delete", HOST_LINK])
    if _PATH.exists():
        with suppress(CommandError):
            run(["umount", "--lazy", _PATH])
        _PATH.unlink(missing_ok=True)


def exists() -> bool:
    """Whether anything of it is there."""
    return _PATH.exists() or Path("/sys/class/net", HOST_LINK).exists()


def leaked_packets() -> int:
    """How many packets tried to leave the namespace for anywhere but the host's end of the link."""
    listed = json.loads(run(inside("nft", "--json", "list", "counter", "inet", "rag_guard", "leaked")))
    return next(int(entry["counter"]["packets"]) for entry in listed["nftables"] if "counter" in entry)


def _attach_pods() -> None:
    """Put pods' links on the bridge again when it had to be made anew."""
    links = json.loads(run(inside("ip", "--json", "link", "show", "type", "veth")))
    for link in links:
        if link and link["ifname"] != NODE_LINK and "master" not in link:
            run(inside("ip", "link", "set", link["ifname"], "master", BRIDGE))
            run(inside("ip", "link", "set", link["ifname"], "type", "bridge_slave", "hairpin", "on"))


def _works() -> bool:
    try:
        run(inside("true"))
    except CommandError:
        return False  # a file without a namespace: its maker was killed half-way
    return True


def _link_exists(name: str) -> bool:
    try:
        run(inside("ip", "link", "show", name))
    except CommandError:
        return False
    return True


def _write_sysctl(name: str, value: str) -> None:
    path = f"/proc/sys/{name.replace('.', '/')}"
    run(inside("sh", "-c", f"echo {value} > {path}"))
