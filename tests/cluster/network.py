"""The network namespace everything runs in, and why no packet for a service or a pod can leave it.

Three things hold packets inside: the namespace has no default route; its only way out is a veth pair to the host, and a
filter on that pair lets through nothing but packets between its own two addresses; whatever else tries is dropped and
counted (`leaked_packets`). Image builds need package registries, so they run outside.

The namespace is entered with nsenter: `ip netns exec` mounts /sys anew and hides the cgroups from the kubelet.
"""

from __future__ import annotations

import json
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cluster.commands import CommandError, run

DEFAULT = "rag"
BRIDGE, BRIDGE_ADDRESS = "rag-bridge", "10.244.0.1"
POD_RANGE = "10.244.0.0/24"

_GUARD = """\
table inet rag_guard
delete table inet rag_guard
table inet rag_guard {{
  counter leaked {{}}
  chain leaving {{
    type filter hook postrouting priority 300; policy accept;
    oifname "{link}" ip saddr {node} ip daddr {host} accept
    oifname "{link}" counter name leaked drop
  }}
}}
"""


@dataclass(frozen=True)
class Network:
    """One cluster's namespace. Inside, all clusters look the same; links and addresses on the host differ by name."""

    name: str = DEFAULT

    @property
    def path(self) -> Path:
        """The file that holds the namespace."""
        return Path("/run/netns") / self.name

    @property
    def host_link(self) -> str:
        """The host's end of the link."""
        return f"{self.name}-host"

    @property
    def node_link(self) -> str:
        """The namespace's end of the link."""
        return f"{self.name}-node"

    @property
    def host_address(self) -> str:
        """The host, seen from the namespace."""
        return f"198.18.{self._number()}.1"

    @property
    def node_address(self) -> str:
        """The node, seen from the host: the API server and NodePorts."""
        return f"198.18.{self._number()}.2"

    def inside(self, *command: str | Path) -> tuple[str, ...]:
        """The command that runs `command` in the namespace; it replaces itself, so the pid is the program's."""
        return ("nsenter", f"--net={self.path}", "--", *(str(word) for word in command))

    def ensure(self, services: str) -> None:
        """Make the namespace, or mend what is missing of it."""
        if not (self.path.exists() and self._has("true")):
            self.remove()  # a file without a namespace: its maker was killed half-way
            run(["ip", "netns", "add", self.name])
        if not Path("/sys/class/net", self.host_link).exists():
            peer = ["peer", "name", self.node_link, "netns", self.name]
            run(["ip", "link", "add", self.host_link, "type", "veth", *peer])
        run(["ip", "address", "replace", f"{self.host_address}/30", "dev", self.host_link])
        run(["ip", "link", "set", self.host_link, "up"])
        if not self._has("ip", "link", "show", BRIDGE):
            run(self.inside("ip", "link", "add", BRIDGE, "type", "bridge"))
        self._write_sysctls()
        for link, address in self._addresses():
            run(self.inside("ip", "address", "replace", address, "dev", link))
            run(self.inside("ip", "link", "set", link, "up"))
        self._attach_pods()
        # Service addresses must have a route before kube-proxy's rules see the packet.
        run(self.inside("ip", "route", "replace", services, "dev", BRIDGE))
        guard = _GUARD.format(link=self.node_link, node=self.node_address, host=self.host_address)
        run(self.inside("nft", "-f", "-"), stdin=guard)

    def remove(self) -> None:
        """Delete namespace, bridge, links and rules, all of which live in the namespace; nothing there is fine."""
        with suppress(CommandError):
            run(["ip", "link", "delete", self.host_link])
        if self.path.exists():
            with suppress(CommandError):
                run(["umount", "--lazy", self.path])
            self.path.unlink(missing_ok=True)

    def exists(self) -> bool:
        """Whether anything of it is there."""
        return self.path.exists() or Path("/sys/class/net", self.host_link).exists()

    def leaked_packets(self) -> int:
        """How many packets tried to leave the namespace for anywhere but the host's end of the link."""
        listed = json.loads(run(self.inside("nft", "--json", "list", "counter", "inet", "rag_guard", "leaked")))
        return next(int(entry["counter"]["packets"]) for entry in listed["nftables"] if "counter" in entry)

    def _number(self) -> int:
        return 0 if self.name == DEFAULT else 1 + zlib.crc32(self.name.encode()) % 254

    def _addresses(self) -> list[tuple[str, str]]:
        node = (self.node_link, f"{self.node_address}/30")
        return [node, (BRIDGE, f"{BRIDGE_ADDRESS}/24"), ("lo", "127.0.0.1/8")]

    def _write_sysctls(self) -> None:
        values = {
            "net/ipv4/ip_forward": "1",
            # A pod's answer to another pod on the same bridge must pass the rules that translated the service's address.
            "net/bridge/bridge-nf-call-iptables": "1",
            f"net/ipv6/conf/{self.node_link}/disable_ipv6": "1",
        }
        for name, value in values.items():
            run(self.inside("sh", "-c", f"echo {value} > /proc/sys/{name}"))

    def _attach_pods(self) -> None:
        """Put pods' links on the bridge again when it had to be made anew."""
        links = json.loads(run(self.inside("ip", "--json", "link", "show", "type", "veth")))
        for link in links:
            if link and link["ifname"] != self.node_link and "master" not in link:
                run(self.inside("ip", "link", "set", link["ifname"], "master", BRIDGE))
                run(self.inside("ip", "link", "set", link["ifname"], "type", "bridge_slave", "hairpin", "on"))

    def _has(self, *command: str) -> bool:
        try:
            run(self.inside(*command))
        except CommandError:
            return False
        return True


NODE_ADDRESS = Network().node_address
