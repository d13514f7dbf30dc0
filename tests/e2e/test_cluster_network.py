"""No packet for a service or a pod leaves the namespace.

Shown in three ways: there is no route out, the filter on the only link counts what tries, and somebody who listens on the
host's end of that link sees no such address while pods do their best to be heard.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Iterator

import pytest

from cluster.commands import ClusterError, run
from cluster.full import Cluster
from e2e.cluster_manifests import pod
from e2e.namespaces import Namespace

pytestmark = pytest.mark.own_cluster
INSIDE = [ipaddress.ip_network("10.96.0.0/16"), ipaddress.ip_network("10.244.0.0/16")]
_ETHERTYPE_ALL, _IPV4 = 0x0003, 0x0800
SHOUT = """
import socket
for address in ("192.0.2.1", "198.18.0.1", "10.96.77.77", "10.250.0.1"):
    speaker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        speaker.sendto(b"is anybody out there", (address, 9))
    except OSError as error:
        print(address, error)
"""


def heard(listener: socket.socket) -> Iterator[tuple[str, str]]:
    """Source and destination of every IPv4 packet that came over the link."""
    listener.setblocking(False)
    while True:
        try:
            frame = listener.recv(65535)
        except BlockingIOError:
            return
        if struct.unpack("!H", frame[12:14])[0] == _IPV4:
            yield socket.inet_ntoa(frame[26:30]), socket.inet_ntoa(frame[30:34])


def is_inside(address: str) -> bool:
    return any(ipaddress.ip_address(address) in network_ for network_ in INSIDE)


def test_there_is_no_route_out_of_the_namespace(cluster: Cluster) -> None:
    assert "default" not in run(cluster.network.inside("ip", "route", "show", "table", "all"))
    with pytest.raises(ClusterError, match="unreachable"):
        run(cluster.network.inside("ip", "route", "get", "192.0.2.1"))


def test_nobody_on_the_link_sees_an_address_of_a_pod_or_a_service(namespace: Namespace, cluster: Cluster) -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETHERTYPE_ALL)) as listener:
        listener.bind((cluster.network.host_link, 0))
        before = cluster.network.leaked_packets()
        namespace.apply(pod("shouting", SHOUT))
        namespace.wait("pod/shouting", "jsonpath={.status.phase}=Succeeded")
        seen = list(heard(listener))
    assert seen, "the API server's answers to kubectl pass here: the listener works"
    assert [pair for pair in seen if any(is_inside(address) for address in pair)] == []
    assert cluster.network.leaked_packets() > before, "the packet to the host's address was dropped and counted"
